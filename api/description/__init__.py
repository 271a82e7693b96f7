"""What the OpenAPI description says beside what FastAPI finds out."""
