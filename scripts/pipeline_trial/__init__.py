"""A night in small: a pipeline of real texts, a model on this machine, and everything killed in between."""
