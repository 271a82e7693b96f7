"""The lane and the deadline of batches of the compatible surfaces, whose clients have no words for them."""

from datetime import timedelta

from api.services import Services
from jobs.clock import utcnow
from jobs.deadlines import Deadline
from jobs.errors import InvalidParameter
from jobs.lanes import Wanted
from jobs.states import LaneWish

WINDOW = timedelta(hours=24)
"""In which both companies promise to be done with a batch."""


def wish_of(services: Services, lane: LaneWish | None, deadline: str | None) -> Wanted:
    """Return how a batch may reach its providers, and by when it is wanted.

    Its own word comes first, then the configuration's. What may take a batch lane is wanted within the
    window that those have: what is not back in time is run live.

    Raises:
        InvalidParameter: the deadline is none, is over, or is far too far away.
    """
    chosen = services.configuration.surface_lane if lane is None else lane
    moment = utcnow()
    if deadline is not None:
        try:
            return Wanted(chosen, Deadline.of(deadline).after(moment))
        except ValueError as error:
            raise InvalidParameter(f"`deadline`: {error}", field="deadline") from None
    return Wanted(chosen, None if chosen is LaneWish.LIVE else moment + WINDOW)
