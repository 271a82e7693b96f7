"""Deadlines at a submission: whether they can be met, told before anything is accepted."""

from dataclasses import dataclass, field
from datetime import timedelta

from api.gate import pools_of_gate
from api.services import Services
from jobs.clock import utcnow
from jobs.defaults import JobDefaults
from jobs.errors import DeadlineUnreachable, ServiceUnavailable
from jobs.quote import Insistence, Known, Ratings, Tally, Tallying, kept_answers, known_states
from jobs.quote.beside import others_at_work
from jobs.quote.reach import Reach, Wish, fields, reach
from jobs.reading import Chunk
from jobs.store import now
from jobs.store.batches.timed import Inspected

HOUR = timedelta(hours=1)


async def known_limits(services: Services) -> Known:
    """Return what the gate knows; where it can't be asked, the configured limits are what there is."""
    try:
        return known_states(await pools_of_gate(services))
    except ServiceUnavailable:
        return {}


def reach_of(services: Services, tallies: tuple[Tally, ...], wish: Wish, known: Known) -> Reach:
    """Return how jobs stand to a deadline, beside what is at work now."""
    queues = {tally.target.provider for tally in tallies}
    with services.database.read() as session:
        moment = now(session)
        others = others_at_work(session, queues, wish.deadline)
    return reach(tallies, wish, moment, services.configuration, known, others)


@dataclass(slots=True)
class DeadlineInspector:
    """Adds up what the jobs of one submission take, and refuses what can't be ready in time.

    With `accepts_late` it refuses nothing.
    """

    services: Services
    project_id: int
    defaults: JobDefaults
    wish: Wish
    known: Known
    accepts_late: bool
    _tallying: Tallying = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        services = self.services
        ratings = Ratings(services.configuration, services.prices, utcnow())
        self._tallying = Tallying(Insistence.of(self.defaults), ratings)

    def add(self, chunk: Chunk) -> None:
        """Add jobs; those that are not called for take no time."""
        answered = kept_answers(self.services.database, self.project_id, self.defaults)
        kept = frozenset(answered([job.fingerprint for job in chunk.jobs if job.collapses]))
        for place, job in enumerate(chunk.jobs):
            if chunk.firsts[place] is None and not (job.collapses and job.fingerprint in kept):
                self._tallying.add(job, chunk.first_seq + place)

    def conclude(self) -> Inspected:
        """Return for how many seconds they work by themselves, and whose price they may wait for.

        Raises:
            DeadlineUnreachable: they can't be ready in time.
        """
        tallies = self._tallying.tallies()
        found = reach_of(self.services, tallies, self.wish, self.known)
        if not found.reaches and not self.accepts_late:
            raise DeadlineUnreachable(found.sentence(), told=fields(found))
        return Inspected(found.quoted_s, self._clocked(tallies))

    def _clocked(self, tallies: tuple[Tally, ...]) -> str | None:
        """Return the model that most of the cost is for, if its price changes with the time of day."""
        dearest = max(tallies, key=lambda tally: tally.cost_nanos.high, default=None)
        if dearest is None:
            return None
        target = dearest.target
        moment = utcnow()
        prices = {
            self.services.prices.price(target.provider, target.model, moment + hours * HOUR)
            for hours in range(24)
        }
        return f"{target.provider}/{target.model}" if len(prices) > 1 else None
