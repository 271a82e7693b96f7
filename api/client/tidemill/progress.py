"""How far a batch is, as a bar: in a terminal and in a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .shapes import Batch


class Display(Protocol):
    """Shows where a batch stands."""

    def show(self, batch: Batch) -> None:
        """Show it as it is now."""
        ...


class _Nothing:
    def show(self, batch: Batch) -> None:
        pass


class _Bar:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, batch: Batch) -> None:
        self._bar.total = batch.counts.total
        self._bar.set_description(batch.state, refresh=False)
        self._bar.set_postfix(_figures(batch), refresh=False)
        self._bar.update(batch.counts.finished - self._bar.n)
        self._bar.refresh()


def _figures(batch: Batch) -> dict[str, object]:
    cost = "unknown" if batch.cost_usd is None else f"${batch.cost_usd:.4f}"
    figures: dict[str, object] = {"failed": batch.counts.failed, "cost": cost}
    if batch.waiting_for:
        figures["waiting for"] = batch.waiting_for
    return figures


@contextmanager
def display(progress: bool | None) -> Iterator[Display]:
    """Enter what shows a batch; with None a bar if somebody is at a terminal or in a notebook."""
    if not (_is_watched() if progress is None else progress):
        yield _Nothing()
        return
    # A tenth of a second, for who wants a bar.
    from tqdm.auto import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415

    with tqdm(unit="job", dynamic_ncols=True) as bar:
        yield _Bar(bar)


def _is_watched() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
