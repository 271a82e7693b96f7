"""The providers' batch APIs: half the price, some time later, and every way in which that goes wrong.

`desk` has all batches and files, `batch` is how one goes, and each provider's paths and shapes are a module
of their own. `ways` is what can be asked of them all. The shapes are those documented in November 2026.
"""
