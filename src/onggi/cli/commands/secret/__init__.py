"""Commands of `onggi secret`."""
