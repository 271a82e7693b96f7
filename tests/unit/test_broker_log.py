"""One death of the broker is one line of a worker's log, however many slices were open."""

import logging
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from celery.worker import request
from kombu.message import Message

from workers.broker_log import LOGGER, REPEAT_S, LostAcks

CELERY_LOG = logging.getLogger(LOGGER)
GONE = ConnectionError("Error 111: refused")


@pytest.fixture
def now_s() -> Iterator[list[float]]:
    """The clock of a filter on Celery's own logger, which is what Celery logs these lines with."""
    assert request.__name__ == LOGGER
    now_s = [100.0]
    lost_acks = LostAcks(clock=lambda: now_s[0])
    CELERY_LOG.addFilter(lost_acks)
    yield now_s
    CELERY_LOG.removeFilter(lost_acks)


def end_slices(count: int) -> None:
    channel = Mock(no_ack_consumers=None)
    channel.basic_ack.side_effect = channel.basic_reject.side_effect = GONE
    for number in range(count):
        message = Message(channel=channel, delivery_tag=str(number))
        message.ack_log_error(CELERY_LOG, (ConnectionError,))
        message.reject_log_error(CELERY_LOG, (ConnectionError,))


def test_what_can_not_be_acknowledged_is_told_in_one_line(
    now_s: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    end_slices(200)
    (record,) = caplog.records
    text = logging.Formatter().format(record)
    assert text.startswith("the broker is away: ")
    assert "Error 111: refused" in text
    assert "\n" not in text
    now_s[0] += REPEAT_S
    end_slices(200)
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("now_s")
def test_what_else_celery_says_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    end_slices(1)
    for number in range(3):
        CELERY_LOG.error("Task %s failed", number)
    assert [record.getMessage() for record in caplog.records[1:]] == [
        f"Task {number} failed" for number in range(3)
    ]
