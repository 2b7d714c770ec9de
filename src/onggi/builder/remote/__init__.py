"""A build cache that comes from somewhere else, or goes there: formats, places, import and export."""
