"""Slices that this process runs: how many are open, whose turn is next, what is given back."""
