"""What answers HTTP. It writes rows and feeds; it never calls a provider or waits for the broker."""
