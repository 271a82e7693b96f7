"""Chat: a request of OpenAI's chat completions as it was written, and the completion that answers it."""

from jobs.kinds.chat.chat import Chat

__all__ = ["Chat"]
