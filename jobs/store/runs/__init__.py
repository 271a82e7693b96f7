"""Runs of pipelines: their rows, claims, batches, sources and sinks."""
