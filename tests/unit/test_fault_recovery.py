"""How long a fault was felt, and all that a run can be found guilty of beside its accounts."""

from collections.abc import Sequence
from typing import Any

import pytest

from scripts.fault_injection import __main__ as chaos
from scripts.fault_injection.arguments import parse_arguments
from scripts.fault_injection.fleet import End
from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.recovery import (
    Aftermath,
    aftermaths,
    again_after,
    back_after,
    summed_up,
    too_late,
)
from scripts.fault_injection.run import Run, findings
from scripts.fault_injection.verdict import Verdict


def test_work_goes_on_with_the_second_that_is_nearly_full() -> None:
    arrivals = [0.0, 0.1, 0.2, 5.0, 6.5, 8.0, 8.1, 8.2, 8.3]
    assert back_after(arrivals, 1.0, 9.0, calls_s=5) == 7.0
    assert back_after(arrivals, 1.0, 8.0, calls_s=5) is None
    assert back_after(arrivals, 1.0, 9.0, calls_s=6) is None


def test_a_lost_call_is_made_again_with_the_first_that_arrives_for_its_job_later() -> None:
    arrivals = {"a": [9.0, 24.0, 30.0], "b": [9.5, 22.5], "c": [9.0], "d": [21.0]}
    assert again_after(arrivals, ["a", "b", "c", "e"], 10.0) == [14.0, 12.5]


def test_recoveries_are_summed_up() -> None:
    summed = summed_up([3.0, 1.0, 8.0])
    assert summed is not None
    assert (summed.of, summed.p50_s, summed.worst_s) == (3, 3.0, 8.0)
    assert summed_up([]) is None


def strike(kind: Kind, began_at: float, lasts_s: float = 1.0, *cut_off: str) -> Strike:
    return Strike(kind, "", began_at, began_at + lasts_s, 1, len(cut_off), cut_off)


def calls(*arrived_s: float) -> list[dict[str, Any]]:
    return [
        {"job_id": f"a-{number}", "arrived_s": at, "answered": True}
        for number, at in enumerate(arrived_s)
    ]


EVERY_TENTH_S = [n / 10 for n in range(1000)]


def test_faults_are_alone_if_each_was_got_over_before_the_next() -> None:
    kill = strike(Kind.KILL_WORKER, 1020.0, 1.0, "a-7")
    apart = [strike(Kind.STOP_WORKER, 1000.0, 14.2, "a-1"), kill, strike(Kind.FLUSH, 1040.0)]
    found = aftermaths(apart, calls(*EVERY_TENTH_S), 10.0, 1000.0)
    assert [a.is_alone for a in found] == [True, True, True]
    near = [*apart, strike(Kind.PROVIDER, 1045.5)]
    found = aftermaths(near, calls(*EVERY_TENTH_S), 10.0, 1000.0)
    assert [a.is_alone for a in found] == [True, True, False, False]
    soon = [strike(Kind.REDIS_OLD, 1006.0, 3.0), strike(Kind.FLUSH, 1020.0)]
    found = aftermaths(soon, calls(*EVERY_TENTH_S), 10.0, 1000.0)
    assert [a.is_alone for a in found] == [True, True]


def test_what_follows_a_fault_is_read_from_the_calls_that_the_provider_has_seen() -> None:
    gap = [at for at in EVERY_TENTH_S if not 20.0 < at < 26.0]
    seen = [*calls(*gap), {"job_id": "a-7", "arrived_s": 31.0, "answered": False}]
    (found,) = aftermaths([strike(Kind.KILL_WORKER, 1020.0, 2.0, "a-7")], seen, 10.0, 1000.0)
    assert found.rate_back_s == pytest.approx(4.0)
    assert found.watched_s == pytest.approx(98.0 - 22.0)
    assert found.again_s == [11.0]


def aftermath(
    kind: Kind,
    back_s: float | None = 1.0,
    again_s: Sequence[float] = (),
    *,
    watched_s: float = 60.0,
    is_alone: bool = True,
) -> Aftermath:
    return Aftermath(strike(kind, 1000.0), back_s, watched_s, again_s, is_alone)


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (
            aftermath(Kind.REDIS_LOST, 5.1),
            "redis-lost: the full rate was back after 5.1 s, 5 s are promised",
        ),
        (
            aftermath(Kind.DATABASE_KILL, None, watched_s=7.0),
            "database-kill: the full rate was back not for 7.0 s, 5 s are promised",
        ),
        (
            aftermath(Kind.KILL_WORKER, 9.0, [3.0, 17.2]),
            "kill-worker: a lost call was made again after 17.2 s, 17 s are promised",
        ),
    ],
)
def test_a_recovery_that_takes_longer_than_promised_is_found(late: Aftermath, words: str) -> None:
    assert list(too_late(late)) == [words]
    assert findings(run(aftermaths=[late])) == [words]


@pytest.mark.parametrize(
    "fine",
    [
        aftermath(Kind.REDIS_LOST, 4.9),
        aftermath(Kind.DATABASE_KILL, None, watched_s=4.0),  # the work ended
        aftermath(Kind.KILL_WORKER, 9.0, [3.0, 16.9]),
        aftermath(Kind.REDIS_LOST, 60.0, is_alone=False),
        aftermath(Kind.KILL_WORKER, 1.0, [40.0], is_alone=False),
    ],
)
def test_what_is_within_the_promise_or_was_struck_again_is_no_fault(fine: Aftermath) -> None:
    assert not list(too_late(fine))


def run(**changes: Any) -> Run:
    good: dict[str, Any] = {
        "options": parse_arguments(["--seed", "1"]),
        "verdict": Verdict(accepted=1, finished=1),
        "never": (),
        "aftermaths": [aftermath(Kind.FLUSH)],
        "ends": [],
        "peak_bytes": {"api": 2**20, "worker-1": 2**20},
        "tries": 1,
        "began_at": 1000.0,
        "took_s": 10.0,
    }
    return Run(**(good | changes))


ENDED = End("worker-1", 1001.0, 1003.5, 5, ["it begins", "no database"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": Verdict(findings=["3 jobs are lost"])}, "3 jobs are lost"),
        ({"never": (Kind.FLUSH,)}, "flush never happened"),
        (
            {"ends": [ENDED]},
            "worker-1 ended by itself with exit status 5; it said last: no database",
        ),
        (
            {"ends": [End("beat", 1001.0, 1003.5, -11, [])]},
            "beat ended by itself with SIGSEGV; it said last: nothing",
        ),
        (
            {"aftermaths": [aftermath(Kind.FLUSH, 8.0)]},
            "flush: the full rate was back after 8.0 s, 5 s are promised",
        ),
        (
            {"peak_bytes": {"redis": 2**30, "worker-1": 220 * 2**20, "worker-2": 221 * 2**20}},
            "worker-2 needed 221 MiB of memory, 220 are allowed",
        ),
        ({"peak_bytes": {"beat": 2**30}}, "beat needed 1024 MiB of memory, 150 are allowed"),
    ],
)
def test_whatever_is_wrong_with_a_run_is_told_and_its_exit_status_is_1(
    changes: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, told = outcome(run(**changes), monkeypatch, capsys)
    assert status == 1
    assert f"WRONG: {words}\n" in told.err
    assert "1 broken" in told.out


def test_a_run_that_broke_nothing_is_a_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = outcome(run(), monkeypatch, capsys)
    assert status == 0
    assert "WRONG" not in told.err
    assert "all kept" in told.out


def test_who_ended_by_itself_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, told = outcome(run(ends=[ENDED]), monkeypatch, capsys)
    assert (
        "worker-1 ended at 3.5 s, 2.5 s old, with exit status 5, and said last:\n"
        "    it begins\n    no database\n"
    ) in told.out


def outcome(
    made_up: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, Any]:
    """Return the exit status of a run that came out like this, and what was printed."""

    async def _run(_options: object) -> Run:
        return made_up

    monkeypatch.setattr(chaos, "_run", _run)
    status = chaos.main(["--seed", "1"])
    return status, capsys.readouterr()
