"""Commands of `onggi config`."""
