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
from .run_shapes import Pipeline, Run
from .shapes import Batch, Counts, Eta, Forecast, Result, ResultError, Usage
from .sums import Budget, Quote, Receipt, UsageReport, UsageRow

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
    "Pipeline",
    "Quote",
    "Receipt",
    "Result",
    "ResultError",
    "Results",
    "Run",
    "ServiceUnavailable",
    "SubmissionError",
    "SubmissionTooLarge",
    "Tidemill",
    "TidemillError",
    "Usage",
    "UsageReport",
    "UsageRow",
]
