"""The dashboard and the alerts ask for figures that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from celery import Celery
from prometheus_client import CollectorRegistry

from api.metrics import Answered, Whole
from jobs.loop_lag import lag_histogram
from jobs.pools import DimensionState, PoolState
from jobs.store import open_database
from jobs.store.census import Census, LedgerTotal
from workers.clock.sweep import Sweep
from workers.metrics import gauge
from workers.writer import Writer

FOLDER = Path(__file__).resolve().parents[2] / "docs/monitoring"

OF_PROMETHEUS = {"le", "job", "instance"}

DIMENSION = DimensionState("rpm", 60, None, 1.0, 0.1)
POOL = PoolState(
    "sim", "main", None, (DIMENSION,), 0, None, None, "closed", None, None, 1.0, None, None
)
CENSUS = Census(
    [("sim", "waiting", 1)],
    [("running", 1)],
    0,
    0,
    0,
    0,
    [LedgerTotal("sim", "main", "m", "succeeded", 1, 1, 1, 1, 1, 1)],
)


@cache
def figures() -> Mapping[str, set[str]]:
    """Every figure that some process tells, with its labels."""
    registry = CollectorRegistry()
    database = open_database("sqlite:///none.db")  # never connected to
    sweep, writer = Sweep(database, Celery()), Writer(database)
    for figure in (sweep.takeovers, writer.waited, lag_histogram()):
        registry.register(figure)
    for name in ("tidemill_worker_in_flight", "tidemill_worker_open_slices"):
        registry.register(gauge(name, "", lambda: 0))
    answered = Answered()
    answered.requests.labels("/", "GET", "200").inc()
    answered.latency.labels("/").observe(1.0)
    found: dict[str, set[str]] = {}
    for metric in (
        *registry.collect(),
        *answered.registry.collect(),
        *Whole(CENSUS, [POOL], 0).collect(),
    ):
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def asked() -> Iterator[tuple[str, str]]:
    """Every expression, with the text that shows what it finds."""
    dashboard: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from ((target["expr"], target["legendFormat"]) for target in panel["targets"])
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        yield from ((rule["expr"], json.dumps(rule["annotations"])) for rule in group["rules"])


def labels_of(expression: promql.Expr) -> set[str]:
    """Return the labels that its result has; everything it asks for is there, or this fails."""
    match expression:
        case promql.VectorSelector():
            known = figures()[str(expression.name)] | OF_PROMETHEUS
            assert {matcher.name for matcher in expression.matchers.matchers} <= known, expression
            return known
        case promql.MatrixSelector():
            return labels_of(expression.vector_selector)
        case promql.AggregateExpr():
            inner = labels_of(expression.expr)
            kept = set(expression.modifier.labels) if expression.modifier else set()
            assert kept <= inner, expression
            return kept
        case promql.Call():
            return of_a_call(expression)
        case promql.BinaryExpr():
            sides = [expression.lhs, expression.rhs]
            of_sides = [labels_of(s) for s in sides if not isinstance(s, promql.NumberLiteral)]
            # Only what has the same labels on both sides is put together.
            assert all(labels == of_sides[0] for labels in of_sides), expression
            return of_sides[0]
        case _:
            pytest.fail(f"{type(expression)} is not looked at yet")


def of_a_call(call: promql.Call) -> set[str]:
    labels = labels_of(call.args[-1])
    match call.func.name:
        case "rate" | "increase":
            ranged = call.args[0]
            assert isinstance(ranged, promql.MatrixSelector)
            assert str(ranged.vector_selector.name).endswith(("_total", "_bucket")), call
            return labels
        case "histogram_quantile":
            assert "le" in labels, call
            return labels - {"le"}
        case "absent":
            return set()
        case name:
            pytest.fail(f"{name} is not looked at yet")


@pytest.mark.parametrize(("expression", "shown"), list(asked()))
def test_an_expression_asks_for_what_there_is_and_shows_what_it_has(
    expression: str, shown: str
) -> None:
    labels = labels_of(promql.parse(expression))
    assert "tidemill_" in expression
    assert set(re.findall(r"\{\{ *(?:\$labels\.)?(\w+) *\}\}", shown)) <= labels


@pytest.mark.parametrize(
    "wrong",
    [
        "sum by (queue) (tidemill_workers)",
        "rate(tidemill_slices[5m])",
        'tidemill_slices{pool="main"}',
        "tidemill_slices / tidemill_workers",
        "histogram_quantile(0.5, sum(rate(tidemill_settle_seconds_bucket[5m])))",
    ],
)
def test_a_wrong_expression_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        labels_of(promql.parse(wrong))


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["alert"].startswith("Tidemill")
            assert set(rule["annotations"]) == {"summary", "action"}
            assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_figure_is_described() -> None:
    text = (FOLDER.parent / "monitoring.md").read_text(encoding="utf-8")
    ours = {name for name in figures() if name.startswith("tidemill_")}
    stems = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in ours}
    told = {name for name in stems if f"`{name}`" in text or f"`{name}_total`" in text}
    assert stems - told == set()
