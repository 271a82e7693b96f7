"""Faults on purpose: the whole system at work, what can happen to it, and whether its promises held."""
