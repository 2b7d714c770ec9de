"""Images: names, contents and layers; and the directory trees that containers are mounted from.

    images.py       Images: the parts below, held together      resolve.py  what a user wrote -> Image
    load.py, save.py, import_.py, commit.py                      contents in and out
    list_.py, history.py, tag.py, remove.py, prune.py, collect.py
    snapshots/      directory trees of layers and containers     tar/, apply.py, pack.py, changes.py  archives

All blocking; the engine calls it through its offload.
"""
