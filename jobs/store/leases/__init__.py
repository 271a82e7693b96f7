"""Slices: who runs them and for how long, which go to the broker next, and what a lost lease leaves."""
