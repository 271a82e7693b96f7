"""Batches as they are watched: read once a second for all who listen, told to each as fast as it reads."""
