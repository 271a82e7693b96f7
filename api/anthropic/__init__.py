"""The surface that Anthropic's own clients speak to, under `/anthropic/v1`: batches of messages, models.

What a batch costs and how it goes is the same as under `/api`, where it is seen as well, by the name
that it has here. Which `anthropic-version` a client sends makes no difference, nor which `anthropic-beta`.
"""
