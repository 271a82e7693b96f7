"""Attempts: one row for each call, closed when its end is known, read by the page."""
