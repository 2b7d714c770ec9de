"""Verbs of exec instances: further processes in a running container."""
