"""The simulator's own account of what it was asked and what it answered: the judge of every test.

Columns of numbers, not rows of objects: some 120 bytes for a request with a short job id.
"""

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from scripts.simulator.calls import Answer, Finish
from scripts.simulator.prices import BATCH_DIVISOR, Price

SHOWN_REPEATS = 20
ROWS_PER_PIECE = 500
FREE = Price(0, 0)


DELIVERED = 200
"""The status of a line that was answered; the others' results are errors, and no work of the model."""


class LineOfBatch(NamedTuple):
    """Which line of which batch a row is about; `custom_id` is the client's name for it."""

    batch: str
    custom_id: str


class Requested(NamedTuple):
    """What was asked for, of whom."""

    job_id: str
    protocol: str
    model: str


class Ended(NamedTuple):
    """How a line ended: the status in its result, and what is billed for it."""

    status: int
    billed: Answer | None


class Ledger:
    """One row per request to a model, in the order of arrival.

    A row is opened when the request was read and closed when the simulator is done with it. Until
    then, and where no status was ever sent, its status is 0. `answered` is true once a whole
    well-formed answer of the model was handed to the kernel; a row with a cost that was not
    answered is one that a real provider may have billed all the same. `lie` names the trouble that made an
    answer another than the honest one, whose fingerprint (`model.fingerprint`) is `truth`.

    A line of a batch has a row too, once the batch has come to it: its lane is `batch`, not `live`, and it
    costs half. It is billed from then on, and answered once a whole file of results with it was handed to
    the kernel. A line that was sent in two batches has two rows.
    """

    def __init__(
        self, prices: Mapping[str, Price], on_close: Callable[[bytes], None] | None = None
    ) -> None:
        self._prices = prices
        self._on_close = on_close
        self._protocols = _Names()
        self._models = _Names()
        self._job_ids: list[str] = []
        self._protocol = array("B")
        self._model = array("H")
        self._arrived_s = array("d")
        self._status = array("H")
        self._is_open = bytearray()
        self._answered = bytearray()
        self._input = array("Q")
        self._cached = array("I")
        self._written = array("I")
        self._output = array("I")
        self._reasoning = array("I")
        self._cost_nanos = array("Q")
        self._truth = array("I")
        self._lies = _Names()
        self._lies.number("")
        self._lie = bytearray()
        self._amounts = (
            *(self._input, self._cached, self._written, self._output, self._reasoning),
            *(self._cost_nanos, self._truth),
        )
        self._lines: dict[int, LineOfBatch] = {}
        self._in_flight = 0
        self._max_in_flight = 0

    def open(self, job_id: str, protocol: str, model: str, arrived_s: float) -> int:
        """Enter a request and return its row's number."""
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        return self._open(job_id, protocol, model, arrived_s)

    def _open(self, job_id: str, protocol: str, model: str, arrived_s: float) -> int:
        self._job_ids.append(job_id)
        self._protocol.append(self._protocols.number(protocol))
        self._model.append(self._models.number(model))
        self._arrived_s.append(arrived_s)
        self._status.append(0)
        self._is_open.append(1)
        self._answered.append(0)
        self._lie.append(0)
        for column in self._amounts:
            column.append(0)
        return len(self._job_ids) - 1

    def close(self, row: int, status: int, billed: Answer | None, *, answered: bool) -> None:
        """Enter how a request ended; `billed` is None where the model did no work for it."""
        self._in_flight -= 1
        self._close(row, status, billed, answered=answered)

    def run(self, line: LineOfBatch, requested: Requested, at_s: float, ended: Ended) -> int:
        """Enter a line of a batch that has been run, and return its row's number."""
        row = self._open(*requested, at_s)
        self._lines[row] = line
        self._close(row, ended.status, ended.billed, answered=False)
        return row

    def deliver(self, rows: Iterable[int]) -> None:
        """Enter that the results of these lines of batches were fetched; again is no change."""
        for row in rows:
            if not self._answered[row] and self._status[row] == DELIVERED:
                self._answered[row] = 1
                self._tell(row)

    def _close(self, row: int, status: int, billed: Answer | None, *, answered: bool) -> None:
        self._is_open[row] = 0
        self._status[row] = status
        self._answered[row] = answered
        if billed is not None:
            self._input[row] = billed.input_tokens
            self._cached[row] = billed.cached_tokens
            self._written[row] = billed.cache_write_tokens
            self._output[row] = billed.output_tokens
            self._reasoning[row] = billed.reasoning_tokens
            self._truth[row] = billed.truth
            self._lie[row] = self._lies.number(billed.lie)
            price = self._prices.get(self._models.names[self._model[row]], FREE)
            divisor = BATCH_DIVISOR if row in self._lines else 1
            self._cost_nanos[row] = price.cost_nanos(billed, divisor)
        self._tell(row)

    def _tell(self, row: int) -> None:
        if self._on_close is not None:
            self._on_close(orjson.dumps(self._row(row), option=orjson.OPT_APPEND_NEWLINE))

    def finish(self) -> None:
        """Close what is still open: the simulator ends without having answered it."""
        for row, is_open in enumerate(self._is_open):
            if is_open:
                self.close(row, 0, None, answered=False)

    def summary(self) -> dict[str, Any]:
        """Return the totals; tokens and cost are of answered requests unless they say otherwise."""
        answered = self._answered
        cost_nanos = sum(compress(self._cost_nanos, answered))
        times = Counter(compress(self._job_ids, answered))
        without_id = times.pop("", 0)
        repeated = [job_id for job_id, count in times.items() if count > 1]
        return {
            "requests": len(self._job_ids),
            "answered": sum(answered),
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "by_status": {str(status): count for status, count in Counter(self._status).items()},
            "tokens": {
                "input": sum(compress(self._input, answered)),
                "cached": sum(compress(self._cached, answered)),
                "cache_write": sum(compress(self._written, answered)),
                "output": sum(compress(self._output, answered)),
                "reasoning": sum(compress(self._reasoning, answered)),
            },
            "lies": self._lies_told(),
            "cost_nanos": cost_nanos,
            "unanswered_cost_nanos": sum(self._cost_nanos) - cost_nanos,
            "job_ids_answered": len(times),
            "answered_without_job_id": without_id,
            "answered_more_than_once": {
                "count": len(repeated),
                "first": repeated[:SHOWN_REPEATS],
            },
            "unpriced_models": sorted(set(self._models.names) - set(self._prices)),
            "lanes": self._lanes(),
        }

    def _lanes(self) -> dict[str, dict[str, int]]:
        """Return what was run, answered and billed in either lane; the list cost is that of a live call."""
        lanes = {
            lane: dict.fromkeys(("requests", "answered", "cost_nanos", "list_cost_nanos"), 0)
            for lane in ("live", "batch")
        }
        batch = lanes["batch"]
        batch["batches"] = len({line.batch for line in self._lines.values()})
        for row in self._lines:
            batch["requests"] += 1
            batch["answered"] += self._answered[row]
            batch["cost_nanos"] += self._cost_nanos[row]
            batch["list_cost_nanos"] += self._list_nanos(row)
        lanes["live"]["requests"] = len(self._job_ids) - batch["requests"]
        lanes["live"]["answered"] = sum(self._answered) - batch["answered"]
        lanes["live"]["cost_nanos"] = sum(self._cost_nanos) - batch["cost_nanos"]
        lanes["live"]["list_cost_nanos"] = lanes["live"]["cost_nanos"]
        return lanes

    def _list_nanos(self, row: int) -> int:
        if not self._cost_nanos[row]:
            return 0
        billed = Answer(
            "", Finish.COMPLETE, self._input[row], self._cached[row], self._output[row], 0
        )
        billed.cache_write_tokens = self._written[row]
        return self._prices[self._models.names[self._model[row]]].cost_nanos(billed)

    def _lies_told(self) -> dict[str, int]:
        """Return how many answers lied in each way, of those that reached who asked."""
        told = Counter(compress(self._lie, self._answered))
        return {self._lies.names[number]: count for number, count in told.items() if number}

    def by_second(self) -> dict[str, list[int]]:
        """Return, for each status, how many live requests arrived in each second and were answered so."""
        seen = Counter(zip(map(int, self._arrived_s), self._status, strict=True))
        seen.subtract((int(self._arrived_s[row]), self._status[row]) for row in self._lines)
        seen = +seen
        seconds = 1 + max((second for second, _ in seen), default=-1)
        return {
            str(status): [seen[second, status] for second in range(seconds)]
            for status in sorted({status for _, status in seen})
        }

    def pieces(self) -> Iterator[bytes]:
        """Yield all rows as JSON lines, some hundred at a time; later arrivals are not included."""
        for start in range(0, len(self._job_ids), ROWS_PER_PIECE):
            end = min(start + ROWS_PER_PIECE, len(self._job_ids))
            yield b"".join(
                orjson.dumps(self._row(row), option=orjson.OPT_APPEND_NEWLINE)
                for row in range(start, end)
            )

    def _row(self, row: int) -> dict[str, Any]:
        line = self._lines.get(row)
        return {
            "lane": "live" if line is None else "batch",
            "batch": "" if line is None else line.batch,
            "line_id": "" if line is None else line.custom_id,
            "job_id": self._job_ids[row],
            "protocol": self._protocols.names[self._protocol[row]],
            "model": self._models.names[self._model[row]],
            "arrived_s": round(self._arrived_s[row], 6),
            "status": self._status[row],
            "answered": bool(self._answered[row]),
            "input_tokens": self._input[row],
            "cached_tokens": self._cached[row],
            "cache_write_tokens": self._written[row],
            "output_tokens": self._output[row],
            "reasoning_tokens": self._reasoning[row],
            "cost_nanos": self._cost_nanos[row],
            "lie": self._lies.names[self._lie[row]],
            "truth": self._truth[row],
        }


class _Names:
    """A number for each of a few names."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number


class LedgerFile:
    """The rows as JSON lines in a file, in the order of closing; the caller says when to flush."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._file = path.open("ab", buffering=0)
        self._fsync = fsync
        self._lines: list[bytes] = []

    def append(self, line: bytes) -> bool:
        """Keep a line for the next flush; true where it is the first, so that a flush is due."""
        self._lines.append(line)
        return len(self._lines) == 1

    def flush(self) -> None:
        """Write what was kept, and force it to the disk if that was asked for."""
        if not self._lines:
            return
        data = memoryview(b"".join(self._lines))
        self._lines.clear()
        while data:
            data = data[self._file.write(data) :]
        if self._fsync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()
