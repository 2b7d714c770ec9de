"""The life of containers, images, networks and volumes: one verb, one file, one public coroutine."""
