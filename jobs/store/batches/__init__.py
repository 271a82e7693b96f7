"""Batches and their jobs: how they arrive, are found, move on and are hurried."""
