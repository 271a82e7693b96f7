"""What a submission will take, before anything of it is stored or spent: jobs, tokens, money, time."""

from jobs.quote.calls import Insistence
from jobs.quote.durations import Duration, Known, duration, known_states
from jobs.quote.kept import kept_answers
from jobs.quote.quoting import Quoting, Sums
from jobs.quote.ratings import Ratings
from jobs.quote.sufficiency import Sufficiency, sufficiency_of
from jobs.quote.tally import Tally
from jobs.quote.tallying import Tallying

__all__ = [
    "Duration",
    "Insistence",
    "Known",
    "Quoting",
    "Ratings",
    "Sufficiency",
    "Sums",
    "Tally",
    "Tallying",
    "duration",
    "kept_answers",
    "known_states",
    "sufficiency_of",
]
