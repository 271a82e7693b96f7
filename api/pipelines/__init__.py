"""Pipelines and their runs as they are read."""
