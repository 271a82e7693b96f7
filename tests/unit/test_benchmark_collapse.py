"""The jobs that repeat, and how their figures are made."""

from typing import Any

import orjson
import pytest

from scripts.benchmarks.collapse import (
    CollapsePlan,
    CollapseRun,
    Run,
    first_of,
    lines_of,
    misbooked,
    strangers,
)
from scripts.benchmarks.workload import LINE_BYTES, job_id, mark


def run(jobs: int, calls: int, cpu_s: float, saved_nanos: int = 0, collapsed: int = 0) -> Run:
    return Run(jobs, calls, cpu_s, 1.0, 0, saved_nanos, collapsed)


def test_forty_of_a_hundred_repeat_a_job_that_came_before() -> None:
    assert CollapsePlan(jobs=1000).different == 600
    for number in range(1000):
        first = first_of(number)
        assert first <= number
        assert first_of(first) == first
    repeated = {first_of(number) for number in range(1000) if first_of(number) != number}
    assert len(repeated) > 200  # some of them several times
    assert max(repeated) > 900 > 100 > min(repeated)


def test_a_repeated_line_has_its_own_name_and_the_firsts_prompt() -> None:
    (block,) = lines_of([8], first_of)
    assert len(block) == LINE_BYTES
    line = orjson.loads(block)
    assert line["custom_id"] == job_id(8)
    assert line["prompt"].startswith(mark(job_id(first_of(8))))


def test_what_a_repeated_job_costs_is_what_the_calls_leave() -> None:
    found = CollapseRun(run(600, 600, 0.6), run(1000, 600, 0.64), run(600, 600, 0.6), ())
    assert found.different_cpu_us == pytest.approx(1000)
    assert found.repeated_cpu_us == pytest.approx(100)


def results(cost_usd: str = "0", answers: int = 3) -> dict[int, dict[str, Any]]:
    """Return those of five jobs, of which 3 and 4 repeat."""
    firsts = [first_of(number) for number in range(5)]
    return {
        number: {
            "output": f"{mark(job_id(first if number <= answers else 7))} text",
            "cost_usd": "0.5" if first == number else cost_usd,
        }
        for number, first in enumerate(firsts)
    }


def test_an_answer_to_another_request_and_a_wrong_saving_are_found() -> None:
    right = run(5, 3, 1.0, saved_nanos=1_000_000_000, collapsed=2)
    assert [*strangers(results(answers=4)), *misbooked(results(), right)] == []
    assert "1 jobs" in next(strangers(results()))
    wrong = run(5, 3, 1.0, saved_nanos=999_999_999, collapsed=2)
    assert "where it is 1,000,000,000" in next(misbooked(results(), wrong))
    assert "cost something" in next(misbooked(results("0.1"), right))
