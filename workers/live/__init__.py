"""Live calls: made at once for somebody who waits, by the parts that batches are run with."""
