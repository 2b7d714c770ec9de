"""A pull-through cache of registries: the distribution API on loopback, from disk or from upstream."""
