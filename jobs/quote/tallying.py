"""Jobs on their way into the sums of what they take, by model and target."""

from jobs.lines import JobLine
from jobs.quote.calls import Insistence
from jobs.quote.ratings import Rating, Ratings
from jobs.quote.tally import Tally
from jobs.routing import Target

LISTED = 100
"""Models that are told apart; a submission could name a million. Later ones are one entry a provider."""

OTHERS = "(others)"
"""The model of such an entry."""


class Tallying:
    """The sums of the jobs that it is given; those have the sizes of their calls."""

    def __init__(self, insistence: Insistence, ratings: Ratings) -> None:
        self._insistence = insistence
        self._ratings = ratings
        self._known: dict[tuple[str, Target], tuple[Tally, Rating]] = {}
        self._others: dict[str, Tally] = {}

    def add(self, job: JobLine, seq: int) -> None:
        """Add a job that is called for."""
        tally, rating = self._tally(job, seq)
        tally.add(job.calls, rating, self._insistence)

    def tallies(self) -> tuple[Tally, ...]:
        """Return the sums."""
        return (*(tally for tally, _ in self._known.values()), *self._others.values())

    def _tally(self, job: JobLine, seq: int) -> tuple[Tally, Rating]:
        # The batch's number decides which jobs of a route with weights go where, not how many do.
        target = job.resolved.order(0, seq)[0]
        key = (job.model, target)
        if (known := self._known.get(key)) is not None:
            return known
        rating = self._ratings.rating(target, job.resolved)
        if len(self._known) < LISTED:
            known = self._known[key] = Tally(job.model, target), rating
            return known
        others = Tally(OTHERS, Target(target.provider, OTHERS))
        return self._others.setdefault(target.provider, others), rating
