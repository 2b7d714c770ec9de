"""Commands of the build cache."""
