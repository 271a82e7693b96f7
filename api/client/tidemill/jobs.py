"""What may be submitted: a file, a DataFrame, or any iterable of jobs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .lines import Job, blocks_of, rows_of
from .upload import Upload, open_upload, upload_of

Jobs = str | os.PathLike[str] | Iterable[Job] | Any
"""A path, jobs one by one, or a DataFrame of pandas or polars, which is known by what it can do."""


@contextmanager
def opened(jobs: Jobs) -> Iterator[Upload]:
    """Open jobs for sending, and for sending again: what can be read but once is copied meanwhile.

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

    def rows() -> Iterable[Job]:
        found = rows_of(jobs)
        return jobs if found is None else found  # type: ignore[no-any-return]

    with upload_of(lambda: blocks_of(rows()), is_once=iter(jobs) is jobs) as upload:
        yield upload
