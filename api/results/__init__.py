"""Results on their way out: a page at a time, in the format that was asked for."""
