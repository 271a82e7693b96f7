"""The two weeks before the night: what they used, written into the ledger, so that days can be compared."""

from datetime import timedelta

from jobs.states import Outcome
from jobs.store import Database, now
from jobs.store.money.ledger import LedgerKey, LedgerSums, add_to_ledger
from jobs.store.projects import DEFAULT_PROJECT, ensure_project

DAYS = 13

CALLS = {
    ("openai", "sim-small"): 9_000,
    ("openai", "sim-large"): 2_400,
    ("anthropic", "sim-small"): 3_100,
    ("mistral", "sim-small"): 1_800,
    ("gemini", "sim-small"): 700,
}
"""On a day like any other."""

NANOS_PER_CALL = {"sim-small": 60_000, "sim-large": 600_000}

WEEKEND = 5
"""The first day of it, from Monday as 0."""


def write(database: Database) -> None:
    """Write the use of the days before today."""
    with database.write() as session:
        project_id = ensure_project(session, DEFAULT_PROJECT)
        today = now(session).date()
        sums: dict[LedgerKey, LedgerSums] = {}
        for back in range(1, DAYS + 1):
            day = today - timedelta(days=back)
            for (provider, model), usual in CALLS.items():
                share = 0.3 if day.weekday() >= WEEKEND else 0.75 + (back * 7 % 5) / 10
                calls = round(usual * share)
                refused = calls // 60 if provider == "anthropic" else 0
                key = LedgerKey(day, project_id, provider, "main", model, Outcome.SUCCEEDED)
                sums[key] = LedgerSums(
                    attempts=calls,
                    input_tokens=calls * 320,
                    output_tokens=calls * 140,
                    cost_nanos=calls * NANOS_PER_CALL[model],
                )
                if refused:
                    limited = LedgerKey(day, project_id, provider, "main", model, Outcome.LIMITED)
                    sums[limited] = LedgerSums(attempts=refused)
        add_to_ledger(session, sums)
