"""A worker finds its broker again soon, however long that was away."""

import logging
from typing import Any

import pytest
from celery import Celery
from celery.worker.consumer import consumer

from workers.broker_log import CONSUMER_LOGGER, REPEAT_S, Tries
from workers.consumer import LONGEST_S, PromptConsumer


def test_a_lost_broker_is_looked_for_every_other_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert consumer.__name__ == CONSUMER_LOGGER
    slept_s: list[float] = []
    now_s = [100.0]

    def sleep(seconds: float) -> None:
        slept_s.append(seconds)
        now_s[0] += seconds
        if len(slept_s) > 100 or now_s[0] > 100.0 + 2 * REPEAT_S:
            raise KeyboardInterrupt

    monkeypatch.setattr("kombu.utils.functional.sleep", sleep)
    tries = Tries(clock=lambda: now_s[0])
    logging.getLogger(CONSUMER_LOGGER).addFilter(tries)
    app = Celery(broker="redis://127.0.0.1:9/0", set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    app.conf.broker_connection_max_retries = None
    looking: Any = PromptConsumer.__new__(PromptConsumer)
    looking.app, looking.first_connection_attempt = app, True
    looking.broker_connection_retry_attempt = 0
    with pytest.raises(KeyboardInterrupt):
        looking.ensure_connected(app.connection_for_read())
    logging.getLogger(CONSUMER_LOGGER).removeFilter(tries)
    assert max(slept_s) <= LONGEST_S
    assert sum(slept_s) > REPEAT_S
    told = [record.getMessage() for record in caplog.records if "broker is away" in record.msg]
    assert 1 < len(told) <= 3
    assert "127.0.0.1:9" in told[0]
    assert "\n" not in told[0]
