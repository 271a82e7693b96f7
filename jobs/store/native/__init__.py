"""Native batches: made of slices, journaled, settled, and the room they take at their provider."""
