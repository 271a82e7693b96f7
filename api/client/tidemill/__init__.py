"""A client of Tidemill: submit jobs, read their results as they come, steer batches.

It imports nothing of the server, and `docs/client.md` shows it at work.
"""

from .asynchronous import AsyncResults, AsyncTidemill
from .client import Results, Tidemill
from .errors import (
    ConfigurationError,
    Conflict,
    InvalidSubmission,
    LineFault,
    NotAuthorised,
    NotFound,
    ServiceUnavailable,
    SubmissionError,
    SubmissionTooLarge,
    TidemillError,
)
from .shapes import (
    Batch,
    Budget,
    Counts,
    Eta,
    Forecast,
    Quote,
    Receipt,
    Result,
    ResultError,
    Usage,
    UsageReport,
    UsageRow,
)

__all__ = [
    "AsyncResults",
    "AsyncTidemill",
    "Batch",
    "Budget",
    "ConfigurationError",
    "Conflict",
    "Counts",
    "Eta",
    "Forecast",
    "InvalidSubmission",
    "LineFault",
    "NotAuthorised",
    "NotFound",
    "Quote",
    "Receipt",
    "Result",
    "ResultError",
    "Results",
    "ServiceUnavailable",
    "SubmissionError",
    "SubmissionTooLarge",
    "Tidemill",
    "TidemillError",
    "Usage",
    "UsageReport",
    "UsageRow",
]
