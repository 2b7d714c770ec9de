"""The solver: which vertex of a graph runs when, and what its result is. See docs/design/builder.md."""
