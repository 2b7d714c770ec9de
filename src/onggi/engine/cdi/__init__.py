"""Devices by name: what vendors write in spec files is put into a container's OCI document.

    spec.py      the file format, read strictly (Container Device Interface specification 0.8)
    yaml_text.py YAML of such files: texts, no aliases, bounded depth
    catalog.py   the spec directories -> which devices there are, and what is wrong with the files
    request.py   HostConfig.DeviceRequests -> names of devices
    edits.py     the edits of devices, made in the document

Files are read at each start and each `info`, as they are then: vendors' tools rewrite them at boot and later.
"""
