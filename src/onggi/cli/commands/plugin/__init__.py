"""Commands of `onggi plugin`."""
