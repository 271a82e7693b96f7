"""Messages: a request of Anthropic's messages as it was written, and the message that answers it."""

from jobs.kinds.messages.messages import Messages

__all__ = ["Messages"]
