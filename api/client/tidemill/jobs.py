"""What may be submitted: a file, a DataFrame, or any iterable of jobs."""

import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from .lines import Job, blocks_of, is_frame, line_of, rows_of
from .sheet import csv_blocks
from .upload import BLOCK_BYTES, CSV, Upload, open_upload, upload_of, upload_of_copy


class Frame(Protocol):
    """A DataFrame of pandas or polars, as far as a type can tell."""

    @property
    def columns(self) -> Any:
        """The names of its columns."""
        ...

    def __len__(self) -> int:
        """Return how many rows it has."""
        ...


Jobs = str | os.PathLike[str] | Iterable[Job] | Frame
"""A path, jobs one by one, or a DataFrame."""

AsyncJobs = Jobs | AsyncIterable[Job]
"""The same, or jobs that are waited for one by one."""

_OF_SHEETS = ("template", "id_column")
"""Options that say how columns become jobs."""


@contextmanager
def opened(jobs: Jobs, options: Mapping[str, object]) -> Iterator[Upload]:
    """Open jobs for sending, and for sending again: what can be read but once is copied meanwhile.

    The columns of a DataFrame are the fields of its jobs; with an option of sheets it is sent as one.

    Raises:
        OSError: the file can't be read.
        TypeError: that are no jobs.
    """
    if isinstance(jobs, str | os.PathLike):
        with open_upload(Path(jobs)) as upload:
            yield upload
        return
    if isinstance(jobs, Mapping):
        raise TypeError("expected jobs, got one mapping: put it in a list")

    if is_frame(jobs):
        if any(options.get(name) is not None for name in _OF_SHEETS):
            entering = upload_of(lambda: csv_blocks(jobs), is_once=False, content_type=CSV)
        else:
            entering = upload_of(lambda: blocks_of(rows_of(jobs)), is_once=False)
    else:
        one_by_one = cast("Iterable[Job]", jobs)
        is_once = iter(one_by_one) is one_by_one
        entering = upload_of(lambda: blocks_of(one_by_one), is_once=is_once)
    with entering as upload:
        yield upload


@asynccontextmanager
async def opened_async(jobs: AsyncJobs, options: Mapping[str, object]) -> AsyncIterator[Upload]:
    """Open jobs as `opened` does. Those that are waited for are all fetched first, into a temporary file.

    Raises as `opened`, and what fetching them raises.
    """
    if not isinstance(jobs, AsyncIterable):
        with opened(jobs, options) as upload:
            yield upload
        return
    with tempfile.TemporaryFile(buffering=BLOCK_BYTES) as copy:
        async for job in jobs:
            copy.write(line_of(job))
        yield upload_of_copy(copy)
