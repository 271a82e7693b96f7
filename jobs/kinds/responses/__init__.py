"""Responses: a request of OpenAI's `/v1/responses` as it was written, and the response that answers it."""

from jobs.kinds.responses.responses import Responses

__all__ = ["Responses"]
