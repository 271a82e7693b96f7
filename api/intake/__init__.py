"""Bodies on their way in: unpacked, read strictly, and known again when they are sent twice."""
