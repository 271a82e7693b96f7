"""Jobs that ask for the same, found while they arrive."""

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from jobs.twins import MOST_JOBS, Twins


def fingerprint(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


@given(st.lists(st.integers(0, 60), max_size=200))
def test_each_job_is_told_the_first_that_asked_for_the_same(numbers: list[int]) -> None:
    twins, firsts = Twins(), dict[int, int]()
    for seq, number in enumerate(numbers):
        first = firsts.setdefault(number, seq)
        assert twins.first(fingerprint(number), seq) == (None if first == seq else first)


def test_a_hundred_thousand_jobs_are_told_apart() -> None:
    twins = Twins()
    assert all(twins.first(fingerprint(number), number) is None for number in range(100_000))
    assert all(twins.first(fingerprint(number), 0) == number for number in range(0, 100_000, 97))


def test_fingerprints_that_begin_alike_are_told_apart() -> None:
    twins = Twins()
    for seq in range(50):
        assert twins.first(b"\0" * 8 + seq.to_bytes(4, "big"), seq) is None
        assert twins.first(seq.to_bytes(8, "big") + b"\1" * 4, 50 + seq) is None


def test_of_a_large_batch_the_first_jobs_are_remembered() -> None:
    twins = Twins()
    assert all(twins.first(fingerprint(n), n) is None for n in range(MOST_JOBS + 10))
    assert twins.first(fingerprint(MOST_JOBS - 1), 0) == MOST_JOBS - 1
    assert twins.first(fingerprint(MOST_JOBS + 1), 0) is None
