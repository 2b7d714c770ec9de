"""Commands of `onggi checkpoint`."""
