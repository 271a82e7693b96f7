"""Quotes: what a submission would take, told instead of done."""
