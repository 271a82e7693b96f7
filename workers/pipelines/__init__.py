"""Pipelines at work: their schedule, where rows come from, from stage to stage, and where they go."""
