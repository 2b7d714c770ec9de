"""The verbs of images: one file, one coroutine."""
