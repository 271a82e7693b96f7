"""The tables, as SQLModel classes. Rows and constraints only: every statement is in `jobs.store`.

There are no foreign keys from the bulk tables (slice, job, attempt, result): they are written by the
hundred thousand, always under their batch, and a check per row would cost more than the row.
"""

from jobs.tables.batches import Batch, IdempotencyKey, Job, Progress, Slice
from jobs.tables.books import LedgerDay, ProjectBudget, SpendDay
from jobs.tables.columns import BigInt, UtcDateTime
from jobs.tables.native import NativeBatch, NativeSlice
from jobs.tables.projects import ApiKey, Login, Project
from jobs.tables.results import Answer, Attempt, Part, Result
from jobs.tables.runs import Run, RunBatch, RunClaim, RunItem, RunSchedule, RunSink, RunStage
from jobs.tables.surfaces import File, FileBatch, MessageBatch
from jobs.tables.webhooks import Webhook, WebhookMessage
from jobs.tables.workers import Worker

__all__ = [
    "Answer",
    "ApiKey",
    "Attempt",
    "Batch",
    "BigInt",
    "File",
    "FileBatch",
    "IdempotencyKey",
    "Job",
    "LedgerDay",
    "Login",
    "MessageBatch",
    "NativeBatch",
    "NativeSlice",
    "Part",
    "Progress",
    "Project",
    "ProjectBudget",
    "Result",
    "Run",
    "RunBatch",
    "RunClaim",
    "RunItem",
    "RunSchedule",
    "RunSink",
    "RunStage",
    "Slice",
    "SpendDay",
    "UtcDateTime",
    "Webhook",
    "WebhookMessage",
    "Worker",
]
