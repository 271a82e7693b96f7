"""From a job's line to a line of a native batch, if it can be one; and to the dialogue that judges it."""

from dataclasses import dataclass

from jobs.clock import utcnow
from jobs.defaults import JobDefaults
from jobs.errors import ProviderError, TidemillError
from jobs.exchange import Lane
from jobs.kinds import KINDS
from jobs.lines import rebuild
from jobs.prices import Price
from jobs.routing import Target
from jobs.store.batches.jobs import OpenJob
from workers.job.dialogue import Dialogue, Policy
from workers.lanes.lanes import BatchApi, Lanes
from workers.parts import Parts


@dataclass(frozen=True, slots=True)
class LanePlan:
    """What a job asks, and the batch API that its first target has."""

    dialogue: Dialogue
    target: Target
    api: BatchApi
    endpoint: str

    def line(self, name: str) -> bytes:
        """Return its line; raises ProviderError if it can't be put on the wire."""
        return self.api.wire.line(name, self.target.model, self.dialogue.request)


@dataclass(frozen=True, slots=True)
class LanePrices:
    """What a call costs in both lanes; None where nobody knows."""

    batch: Price | None
    live: Price | None


class Planner:
    """Makes the plans of one batch's jobs. What it reads doesn't change: it may run in a thread."""

    def __init__(self, parts: Parts, lanes: Lanes, batch_id: int, defaults: JobDefaults) -> None:
        self._parts = parts
        self._lanes = lanes
        self._batch_id = batch_id
        self._defaults = defaults

    def plan(self, job: OpenJob) -> LanePlan | None:
        """Return what a job asks; None if it can't be asked in one line of a native batch."""
        try:
            return self._plan(job)
        except (TidemillError, RecursionError):
            return None  # whoever runs it live tells why

    def _plan(self, job: OpenJob) -> LanePlan | None:
        kind = KINDS.get(job.kind)
        if kind is None or job.parts or job.bad_answers:
            return None
        line = rebuild(job.kind, job.request, self._defaults)
        plan = kind.plan(line)
        targets = self._parts.catalogue.resolve(line.model).order(self._batch_id, job.seq)
        api = self._lanes.of(targets[0].provider)
        if api is None or len(plan.requests) != 1:
            return None
        dialogue = Dialogue(
            plan,
            Policy.of(self._defaults),
            targets,
            estimated_tokens=job.estimated_tokens,
            max_image_tokens=self._parts.configuration.max_image_tokens,
        )
        endpoint = api.wire.endpoint(dialogue.request)
        if endpoint not in api.wire.shape.endpoints:
            return None
        return LanePlan(dialogue, targets[0], api, endpoint.value)

    def size_bytes(self, plan: LanePlan, name: str) -> int | None:
        """Return how large a line is with its end; None if it can't be written."""
        try:
            return len(plan.line(name)) + 1
        except (ProviderError, RecursionError):
            return None


def prices_of(parts: Parts, target: Target) -> LanePrices:
    """Return what a call to a target costs now, in both lanes."""
    moment = utcnow()
    provider, model = target.provider, target.model
    return LanePrices(
        parts.prices.price(provider, model, moment, Lane.BATCH),
        parts.prices.price(provider, model, moment, Lane.LIVE),
    )
