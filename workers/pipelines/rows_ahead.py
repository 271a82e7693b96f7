"""What a step of a run begins: from the states of rows to the jobs that they are ready for.

All of it is read and worked out before the transaction that writes it (`jobs.store.runs.handover`), so that
nobody waits for a template to be filled in.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jobs.errors import ConfigurationError
from jobs.lines import LineReader
from jobs.pipelines.asking import Asking, LeftOut, Unaskable
from jobs.pipelines.documents import Document, needed
from jobs.pipelines.files import Pipeline
from jobs.pipelines.flow import Place
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.states import ItemState
from jobs.store import Session
from jobs.store.runs.handover import Begun
from jobs.store.runs.run_items import Item, JobKey, TakenRow, outputs_of


class Stages:
    """The stages of one pipeline, with what it takes to make jobs of rows."""

    def __init__(self, pipeline: Pipeline, catalogue: Catalogue, prices: PriceBook) -> None:
        """Prepare them; where there is a budget, only priced models can be held within it."""
        self.pipeline = pipeline
        self.flow = pipeline.flow
        bounded = pipeline.budget_nanos is not None
        self.asking = [
            Asking(
                pipeline,
                number,
                LineReader(
                    pipeline.defaults_of(stage),
                    catalogue,
                    prices=prices if bounded else None,
                    mixes_kinds=False,
                ),
            )
            for number, stage in enumerate(pipeline.stages)
        ]


class RowsAhead:
    """Some rows of a run, and what they are ready for. `items` is changed as they go on."""

    def __init__(
        self,
        stages: Stages,
        rows: Mapping[int, TakenRow],
        items: Mapping[int, dict[Place, Item]],
    ) -> None:
        self._stages = stages
        self._rows = rows
        self._items = items
        self._outputs: dict[JobKey, Any] = {}
        self._fields: dict[int, Mapping[str, Any]] = {}

    def load(self, session: Session, wanted: Iterable[tuple[int, Place]]) -> None:
        """Read the outputs that are needed to begin some places of rows."""
        asking, flow = self._stages.asking, self._stages.flow
        jobs = {
            item.job
            for number, (stage_no, branch) in wanted
            for place in needed(flow, stage_no, branch, asking[stage_no].used)
            if (item := self._items[number].get(place)) is not None
            and item.job is not None
            and item.state is ItemState.DONE
        }
        self._outputs.update(outputs_of(session, jobs - self._outputs.keys()))

    def load_to_check(self, session: Session, ended: Iterable[tuple[int, Place]]) -> None:
        """Read the outputs that are needed to check those of some places."""
        asking, flow = self._stages.asking, self._stages.flow
        jobs: set[JobKey] = set()
        for number, (stage_no, branch) in ended:
            used = asking[stage_no].used_to_check
            if not used:
                continue
            places = [(stage_no, branch), *needed(flow, stage_no, branch, used)]
            found = (self._items[number].get(place) for place in places)
            jobs |= {item.job for item in found if item is not None and item.job is not None}
        self._outputs.update(outputs_of(session, jobs - self._outputs.keys()))

    def ready(self) -> list[tuple[int, Place]]:
        """Return the places of all rows that can be begun and are not."""
        return [
            (number, place)
            for number, items in self._items.items()
            for place in self._stages.flow.ready({at: item.state for at, item in items.items()})
        ]

    def check(self, number: int, place: Place) -> str | None:
        """Return why an answer does not do; None if it does."""
        stage_no, branch = place
        asking = self._stages.asking[stage_no]
        if not asking.used_to_check:
            return None
        job = self._items[number][place].job
        output = None if job is None else self._outputs.get(job)
        try:
            met = asking.passes(self._document(number), branch, output)
        except Unaskable as error:
            return str(error)
        return None if met else "the answer does not meet `check`"

    def begin(self, number: int, place: Place, *, again: bool = False) -> Begun:
        """Return how a row enters a stage, and take note of it."""
        stage_no, branch = place
        try:
            job = self._stages.asking[stage_no].job(self._document(number), branch)
        except Unaskable as error:
            begun = Begun(
                *(number, stage_no, branch),
                state=ItemState.FAILED,
                error=str(error),
                again=again,
            )
        else:
            if isinstance(job, LeftOut):
                begun = Begun(number, stage_no, branch, state=ItemState.LEFT_OUT, again=again)
            else:
                begun = Begun(number, stage_no, branch, job, again=again)
        self._items[number][place] = Item(begun.state, None)
        return begun

    def note(self, number: int, place: Place, state: ItemState) -> None:
        """Take note of what became of a row in a stage."""
        self._items[number][place] = Item(state, self._items[number][place].job)

    def _document(self, number: int) -> Document:
        row = self._rows[number]
        outputs = {
            place: self._outputs[item.job]
            for place, item in self._items[number].items()
            if item.job in self._outputs and item.state is ItemState.DONE
        }
        if number not in self._fields:
            self._fields[number] = row.fields
        return Document(row.key, self._fields[number], outputs)


def begin_all(session: Session, ahead: RowsAhead) -> list[Begun]:
    """Return all that rows are ready for, and are by what was left out of it."""
    begun: list[Begun] = []
    while ready := ahead.ready():
        ahead.load(session, ready)
        begun += [ahead.begin(number, place) for number, place in ready]
    return begun


def stages_of(catalogue: Catalogue, prices: PriceBook, definition: str) -> Stages:
    """Return the stages of a run's definition.

    Raises:
        ConfigurationError: this version of the program can't read it any more.
    """
    try:
        pipeline = Pipeline.from_json(definition)
    except ValueError as error:
        raise ConfigurationError(
            f"what the run was begun with can't be read any more: {error}"
        ) from error
    return Stages(pipeline, catalogue, prices)
