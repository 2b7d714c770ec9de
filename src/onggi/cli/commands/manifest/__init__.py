"""Commands of manifest lists."""
