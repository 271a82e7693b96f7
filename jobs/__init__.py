"""What a batch is: words, rows and rules, and how work gets to the queues. Calls no provider."""
