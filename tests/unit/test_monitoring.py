"""The dashboard and the alerts ask for figures that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery
from prometheus_client import CollectorRegistry

from api.metrics import Answered, Whole
from jobs.loop_lag import lag_histogram
from jobs.pools import DimensionState, PoolState
from jobs.store import open_database
from jobs.store.census import Census, LedgerTotal
from workers.metrics import gauge
from workers.sweep import Sweep
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


def expressions() -> Iterator[str]:
    dashboard: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_asks_for_what_there_is(expression: str) -> None:
    known = figures()
    names = re.findall(r"tidemill_\w+", expression)
    assert names
    assert set(names) <= set(known)
    labels = {word for name in names for word in known[name]} | OF_PROMETHEUS
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    matched = re.findall(r"(\w+)\s*=~?\s*\"", expression)
    used = {word.strip() for group in grouped for word in group.split(",")} | set(matched)
    assert used <= labels
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_takes_rates_of_counters_only(expression: str) -> None:
    for name in re.findall(r"(?:rate|increase)\((tidemill_\w+)", expression):
        assert name.endswith(("_total", "_bucket"))


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["alert"].startswith("Tidemill")
            assert set(rule["annotations"]) == {"summary", "action"}
            assert rule["labels"]["severity"] in {"page", "ticket"}
            named = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
            assert all(name in rule["expr"] for name in named)


def test_every_figure_is_described() -> None:
    text = (FOLDER.parent / "monitoring.md").read_text(encoding="utf-8")
    ours = {name for name in figures() if name.startswith("tidemill_")}
    stems = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in ours}
    told = {name for name in stems if f"`{name}`" in text or f"`{name}_total`" in text}
    assert stems - told == set()
