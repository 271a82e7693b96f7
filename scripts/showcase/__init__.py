"""A night that shows every page: batches that went well, and the troubles that a person must recognise."""
