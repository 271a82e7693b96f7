"""When an overload that a job is told of is taken for its own."""

from workers.gate.gate import PoolId
from workers.job.blame import Trend
from workers.job.overloads import ANSWERED, MANY, Overloads

POOL = PoolId("p", "main")


def after(*between: tuple[int, int]) -> Overloads:
    """A job that was told so once before, and again after so many answers and overloads of others."""
    overloads, answers, told = Overloads(), 0, 1
    overloads.note(POOL, Trend(answers, told))
    for answered, others in between:
        answers, told = answers + answered, told + others + 1
        overloads.note(POOL, Trend(answers, told))
    return overloads


def test_a_job_that_alone_is_refused_again_and_again_is_the_reason() -> None:
    assert not after(*[(1, 0)] * (MANY - 1)).are_its_own
    assert after(*[(1, 0)] * MANY).are_its_own


def test_an_outage_is_nobodys_own() -> None:
    assert not after(*[(0, 0)] * 100).are_its_own
    assert not after(*[(0, 30)] * 100).are_its_own


def test_an_overload_that_many_meet_is_nobodys_own() -> None:
    assert not after(*[(30, 30)] * 100).are_its_own
    assert not after(*[(ANSWERED, 1)] * 100).are_its_own


def test_a_true_overload_in_between_begins_the_count_anew() -> None:
    row = [(5, 0)] * (MANY - 1)
    assert not after(*row, (3, 4), *row).are_its_own


def test_few_others_of_the_same_kind_are_no_overload() -> None:
    assert after(*[(200, 2)] * MANY).are_its_own


def test_what_another_pool_says_is_counted_for_itself() -> None:
    overloads = Overloads()
    for number in range(MANY):
        overloads.note(PoolId("p", str(number)), Trend(number, 1))
    assert not overloads.are_its_own
