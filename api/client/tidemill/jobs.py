"""What may be submitted: a file, a DataFrame, or any iterable of jobs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from .lines import Job, blocks_of, is_frame, rows_of
from .upload import Upload, open_upload, upload_of


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

    if is_frame(jobs):
        entering = upload_of(lambda: blocks_of(rows_of(jobs)), is_once=False)
    else:
        one_by_one = cast("Iterable[Job]", jobs)
        is_once = iter(one_by_one) is one_by_one
        entering = upload_of(lambda: blocks_of(one_by_one), is_once=is_once)
    with entering as upload:
        yield upload
