"""What an attempt must cost is worked out by the database exactly as by `jobs.prices`."""

from random import Random

from sqlalchemy import text

from jobs.exchange import MAX_CREDIBLE_TOKENS, Usage
from jobs.prices import Price, Rates
from jobs.states import Outcome
from jobs.store import Database
from jobs.store.attempts.reports import Journal, Settlement
from jobs.store.batches import batches
from jobs.store.money.settlement import flush
from jobs.store.proof.balance import balance
from tests.support.rows import journal_of
from tests.support.stories import GOOD, Story

ATTEMPTS = 90


def rates_by_chance(random: Random) -> Rates:
    """Of a nano-dollar to a thousand dollars for a million tokens, whole and broken ones."""
    rates = [random.randrange(10 ** random.randrange(1, 13)) for _ in range(4)]
    return Rates(*(rate - rate % random.choice((1, 1_000_000)) for rate in rates))


def price_by_chance(random: Random) -> Price:
    thresholds = sorted(random.sample(range(1, 2000), random.randrange(3)))
    return Price(tuple((threshold, rates_by_chance(random)) for threshold in (0, *thresholds)))


def usage_by_chance(random: Random) -> Usage:
    most = random.choice((3, 1000, MAX_CREDIBLE_TOKENS))
    return Usage(*(random.randrange(most + 1) for _ in range(5)))


def test_costs_are_those_of_the_attempts_own_prices(database: Database) -> None:
    random = Random(7)  # noqa: S311 - repeatable on purpose
    story = Story(database, jobs=ATTEMPTS)
    for seq in range(ATTEMPTS):
        price, usage = price_by_chance(random), usage_by_chance(random)
        given = journal_of(story.lease, seq)
        called = (given.lease, seq, 1, given.provider, given.pool, given.model)
        journal = Journal(*called, price=price.to_json(), reserved_nanos=1)
        cost_nanos = price.cost_nanos(usage)
        settled = Settlement(journal, Outcome.SUCCEEDED, usage, cost_nanos, result=GOOD)
        with database.write() as session:
            flush(session, [journal], [])
            flush(session, [], [settled])
    story.end()
    assert miscosted(story) == 0
    for change in (1, -2):
        with database.write() as session:
            changed = f"UPDATE attempt SET cost_nanos = cost_nanos + {change}"  # noqa: S608  (a number)
            session.connection().execute(text(changed))
        assert miscosted(story) == ATTEMPTS


def miscosted(story: Story) -> int:
    with story.database.snapshot() as session:
        found = balance(session, batches.find(session, 1, story.ref)).violations
    codes = {"miscosted_attempts", "negative_attempts"}
    return sum(violation.count for violation in found if violation.code in codes)
