"""The surface that OpenAI's own clients speak to, under `/v1`: files, batches, models.

What a batch costs and how it goes is the same as under `/api`, where it is seen as well, by the name
that it has here.
"""
