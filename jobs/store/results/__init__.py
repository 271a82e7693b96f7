"""Results: read by the page, counted, looked through, and taken from answers that were there already."""
