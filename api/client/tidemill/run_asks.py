"""Every request about pipelines and their runs, as a value."""

from urllib.parse import quote as quoted

from .asks import Ask, Texts
from .run_shapes import FailureList, PipelineList, Run, RunPage


def pipelines() -> Ask[PipelineList]:
    """Ask for the pipelines of the project."""
    return Ask("GET", "/api/pipelines", PipelineList, may_repeat=True)


def begin(pipeline: str, query: Texts, idempotency_key: str) -> Ask[Run]:
    """Begin a run; under the same key it is the same one."""
    return Ask(
        "POST",
        f"/api/pipelines/{quoted(pipeline, safe='')}/runs",
        Run,
        params=query,
        headers={"idempotency-key": idempotency_key},
        may_repeat=True,
    )


def runs(query: Texts) -> Ask[RunPage]:
    """Ask for a page of runs, the newest first."""
    return Ask("GET", "/api/runs", RunPage, params=query, may_repeat=True)


def run(run_id: str) -> Ask[Run]:
    """Ask for a run with its stages and sinks."""
    return Ask("GET", of_run(run_id), Run, may_repeat=True)


def cancel(run_id: str) -> Ask[Run]:
    """Cancel a run; done twice, it stays so."""
    return Ask("POST", f"{of_run(run_id)}/cancel", Run, may_repeat=True)


def retry(run_id: str, query: Texts) -> Ask[Run]:
    """Take up a run that has ended. Not to be repeated: it goes on, and may have ended again."""
    return Ask("POST", f"{of_run(run_id)}/retry", Run, params=query)


def failures(run_id: str, limit: int) -> Ask[FailureList]:
    """Ask for rows that failed."""
    params = {"limit": str(limit)}
    return Ask("GET", f"{of_run(run_id)}/failures", FailureList, params=params, may_repeat=True)


def of_run(run_id: str) -> str:
    """Return the path of a run, whatever its id holds."""
    return f"/api/runs/{quoted(run_id, safe='')}"
