"""Feeding from the event loop while the database is away: a line in the log, and the sweep does it."""

import asyncio
import logging
from unittest.mock import Mock

import pytest

from jobs.errors import ServiceUnavailable
from jobs.store.leases.leases import Lease
from workers.slices.feeding import FeedLine


class Away:
    """Transactions of a database that is away."""

    async def write(self, *_args: object, **_more: object) -> None:
        raise ServiceUnavailable("the database does not answer")


async def test_a_database_that_is_away_is_one_line_without_a_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = FeedLine(Mock(), Away())  # type: ignore[arg-type]  # all that it asks of them
    line.drained(Mock(spec=Lease, queue="sim", batch_ref="batch_1"))
    await asyncio.sleep(0)
    await line.close()
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert record.message == "feeding sim: the database does not answer"
