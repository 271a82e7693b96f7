"""Charts: everything that is drawn stays within the plot, and the words say the same as the shapes."""

from datetime import timedelta

import pytest

from api.dashboard import charts
from api.dashboard.charts import FLOOR, LEFT, PLOT_HEIGHT, PLOT_WIDTH, TOP, Chart
from jobs.clock import utcnow

BEGAN = utcnow()


def after(seconds: float, ended: int) -> tuple[object, int]:
    return BEGAN + timedelta(seconds=seconds), ended


POINTS = [after(0, 0), after(10, 50), after(10, 60), after(40, 90), after(100, 100)]


def assert_within(chart: Chart) -> None:
    for box in chart.boxes:
        assert LEFT - 1 <= box.x <= box.x + box.width <= LEFT + PLOT_WIDTH + 1
        assert TOP - 0.1 <= box.y <= FLOOR
        assert box.y + box.height <= FLOOR + 0.1
    for pair in chart.line.split():
        x, y = map(float, pair.split(","))
        assert LEFT <= x <= LEFT + PLOT_WIDTH
        assert TOP <= y <= FLOOR


def test_a_curve_reaches_its_top_where_every_job_has_ended() -> None:
    chart = charts.progress(POINTS, 100)  # type: ignore[arg-type]  # times, to the type checker objects
    assert chart is not None
    assert_within(chart)
    assert chart.line.endswith(f"{LEFT + PLOT_WIDTH}.0,{TOP}.0")
    assert "100 of 100 jobs ended within 1 min 40 s" in chart.told


def test_a_pace_adds_up_to_what_ended() -> None:
    chart = charts.pace(POINTS)  # type: ignore[arg-type]  # as above
    assert chart is not None
    assert_within(chart)
    assert sum(float(per_s) * 2.5 for _, per_s in chart.rows) == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize("points", [[], [after(0, 0)], [after(0, 0), after(0, 5)]])
def test_where_there_is_no_course_none_is_drawn(points: list[object]) -> None:
    assert charts.progress(points, 5) is None  # type: ignore[arg-type]  # as above
    assert charts.pace(points) is None  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    "values", [[0.0], [20.0] * 400, [1.0, 2.0, 1e6], [float(n) for n in range(1000)]]
)
def test_a_histogram_holds_every_value_once(values: list[float]) -> None:
    chart = charts.histogram("Output", values, "tokens")
    assert chart is not None
    assert_within(chart)
    assert sum(int(row[-1].replace(",", "")) for row in chart.rows) == len(values)
    assert all(LEFT <= mark.at <= LEFT + PLOT_WIDTH for mark in chart.marks)


def test_a_histogram_tells_the_median_and_the_slow_end() -> None:
    chart = charts.histogram("Latency", [float(n) for n in range(1, 1001)], "ms")
    assert chart is not None
    assert "half take up to 500 ms, and 95 % up to 950 ms; the largest is 1.0 s" in chart.told


def test_columns_are_stacked_and_what_is_too_much_for_the_colours_is_one() -> None:
    series = [(f"model-{number}", [float(number), 1.0]) for number in range(8)]
    chart = charts.columns("Cost", ["2026-11-26", "2026-11-27"], series, "$")
    assert chart is not None
    assert_within(chart)
    assert chart.legend[-1] == "4 others"
    assert len(chart.legend) == charts.SERIES
    assert "$36.00 in all" in chart.told
    first_day = [box for box in chart.boxes if box.x < LEFT + 20]
    assert sum(box.height for box in first_day) == pytest.approx(PLOT_HEIGHT * 28 / 50)


def test_without_any_use_there_are_no_columns() -> None:
    assert charts.columns("Cost", ["2026-11-27"], [("m", [0.0])], "$") is None
    assert charts.columns("Cost", [], [], "$") is None
