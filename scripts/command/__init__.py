"""The `tidemill` command: a client of the HTTP API, and the starter of every part."""

from scripts.command.application import app, main

__all__ = ["app", "main"]
