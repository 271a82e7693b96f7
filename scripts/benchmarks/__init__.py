"""Benchmarks: the whole system against a simulated provider, next to the bare loop it is judged by."""
