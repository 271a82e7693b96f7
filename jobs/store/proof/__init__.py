"""The proof that nothing is missing: what is counted and added up, and what has to agree."""
