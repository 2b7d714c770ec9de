"""What becomes of a build's result: an image, a directory, an archive."""
