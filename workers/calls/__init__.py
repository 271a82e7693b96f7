"""One call to a provider: its transport, its key, and exactly how it failed."""
