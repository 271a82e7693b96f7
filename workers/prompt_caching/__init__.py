"""What calls that begin alike save at providers' prompt caches."""
