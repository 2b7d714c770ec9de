"""HostConfig.DeviceRequests -> names of devices.

Driver "cdi" names them. `--gpus` (no driver, "nvidia" or "amd", and the capability "gpu") means the vendor's
devices of class "gpu", as dockerd 29 has it: `all`, the first N, or those with the given ids.
"""

from __future__ import annotations

from onggi.engine.cdi.catalog import Catalog
from onggi.engine.cdi.spec import is_qualified
from onggi.errors import InvalidParameter
from onggi.wire.containers import DeviceRequest

GPU_VENDORS = {"nvidia": "nvidia.com", "amd": "amd.com"}
_GPU_CAPABILITIES = {"gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display", "amd"}


def names(requests: list[DeviceRequest], catalog: Catalog) -> list[str]:
    """Raises InvalidParameter."""
    found: list[str] = []
    for request in requests:
        if request.driver == "cdi":
            if request.count:
                raise InvalidParameter("unexpected count in CDI device request")
            if request.options:
                raise InvalidParameter("unexpected options in CDI device request")
            found += request.device_ids
        else:
            found += _gpus(request, catalog)
    return list(dict.fromkeys(found))


def _gpus(request: DeviceRequest, catalog: Catalog) -> list[str]:
    vendor = _vendor(request, catalog)
    if request.count and request.device_ids:
        raise InvalidParameter("cannot set both Count and DeviceIDs on device request")
    if request.options:
        raise InvalidParameter(f"unexpected options in GPU device request: {', '.join(request.options)}")
    if request.device_ids:
        return [one if is_qualified(one) else f"{vendor}/gpu={one}" for one in request.device_ids]
    if request.count < 0:
        return [f"{vendor}/gpu=all"]
    return [f"{vendor}/gpu={number}" for number in range(min(request.count, 1024))]


def _vendor(request: DeviceRequest, catalog: Catalog) -> str:
    drivers = [request.driver] if request.driver else list(GPU_VENDORS)
    known = catalog.vendors()
    for alternative in request.capabilities:
        if "gpu" in alternative and set(alternative) <= _GPU_CAPABILITIES:
            for driver in drivers:
                if GPU_VENDORS.get(driver) in known:
                    return GPU_VENDORS[driver]
    raise InvalidParameter(
        f'could not select device driver "{request.driver}" with capabilities: '
        f"{_go_list(request.capabilities)}"
    )


def _go_list(value: object) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(_go_list, value)) + "]"
    return str(value)
