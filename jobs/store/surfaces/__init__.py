"""What OpenAI's and Anthropic's surfaces have beside batches: files, and who reads them."""
