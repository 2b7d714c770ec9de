"""Local volumes: directories below `volumes/`, and nothing that the engine knows of them."""
