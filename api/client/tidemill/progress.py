"""How far a batch is, as a bar: in a terminal and in a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .shapes import Batch, Eta


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
    if batch.final_cost_usd is not None:
        low, high = batch.final_cost_usd.low, batch.final_cost_usd.high
        figures["in all"] = f"${low:.4f} to ${high:.4f}"
    if batch.eta is not None:
        figures["left"] = _between(batch.eta)
    if batch.waiting_for:
        figures["waiting for"] = batch.waiting_for
    return figures


def _between(eta: Eta) -> str:
    """Return a range of time in one unit: `31 to 39 s`, `2 to 3 min`, `5 to 6 h`."""
    size, unit = next(
        ((size, unit) for size, unit in ((3600, "h"), (60, "min")) if eta.low >= 2 * size), (1, "s")
    )
    low, high = round(eta.low / size), round(eta.high / size)
    return f"about {low} {unit}" if low == high else f"{low} to {high} {unit}"


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
