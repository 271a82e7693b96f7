"""The half-price lane: native batches at the providers, from their packing to their ingest."""
