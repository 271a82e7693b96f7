"""The server's own side: an address, its connections, and what is refused before any route sees it."""
