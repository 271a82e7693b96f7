"""The way of one job: which target it asks and when it may, what an answer or an error makes of it."""
