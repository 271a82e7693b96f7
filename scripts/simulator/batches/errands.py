"""What a client asks of the batches: answered, with what goes wrong on the way."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.simulator.batches import anthropic, gemini, mistral, openai
from scripts.simulator.batches.desk import Desk
from scripts.simulator.batches.form import Done, Refused
from scripts.simulator.batches.routing import Route, names_of
from scripts.simulator.calls import Failure, Rejected
from scripts.simulator.dialects import DIALECTS, Dialect
from scripts.simulator.faults import Fault
from scripts.simulator.ledger import Ledger
from scripts.simulator.replies import Reply, garbled, json_reply
from scripts.simulator.requests import Request
from scripts.simulator.troubles import OF_THE_WIRE, UNANSWERED, Trouble

OK = 200
BEFORE_ANYTHING = frozenset({Trouble.HANG, Trouble.RESET, Trouble.CLOSE})
"""Troubles before which nothing is done, unless it is asked for."""

ROUTES = {
    "openai": openai.ROUTES,
    "anthropic": anthropic.ROUTES,
    "gemini": gemini.ROUTES,
    "mistral": mistral.ROUTES,
}


@dataclass(frozen=True, slots=True)
class Errand:
    """One request that isn't for a model; it is to a connection what an `Exchange` is."""

    answered: Reply
    fault: Fault | None
    rows: Sequence[int]
    ledger: Ledger

    is_streamed = False

    @property
    def trouble(self) -> Trouble | None:
        """What goes wrong with the reply."""
        trouble = None if self.fault is None else self.fault.trouble
        return trouble if trouble in OF_THE_WIRE else None

    @property
    def delay_s(self) -> float:
        """How long the reply takes."""
        return self.fault.delay_s if self.fault and self.trouble is Trouble.SLOW else 0.0

    def reply(self) -> Reply:
        """Return the reply."""
        return garbled(self.answered, self.trouble)

    def events(self) -> list[bytes]:
        """Return nothing: no reply has events."""
        return []

    def end(self, status: int, *, whole: bool) -> None:
        """Enter what was fetched, if it was fetched as a whole."""
        if whole and status == OK and self.trouble not in UNANSWERED:
            self.ledger.deliver(self.rows)


def run_errand(desk: Desk, request: Request) -> Errand | None:
    """Do what a request asks of the batches; None where it asks something else."""
    for protocol, routes in ROUTES.items():
        found = names_of(routes, request)
        if found is not None:
            return _run(desk, request, protocol, *found)
    return None


def _run(
    desk: Desk, request: Request, protocol: str, route: Route, names: tuple[str, ...]
) -> Errand:
    desk.advance()
    dialect = DIALECTS[protocol]
    fault = desk.faults.draw(protocol, "", request.key, None, route.place)
    failed = None if fault is None else fault.failure
    is_undone = fault is not None and not fault.done
    if is_undone and fault is not None and (failed or fault.trouble in BEFORE_ANYTHING):
        done = Done(json_reply(OK, {}))
    else:
        done = _answer(desk, request, dialect, route, names)
    if failed is not None and fault is not None:
        done = Done(_error(dialect, Failure(failed, wait_s=fault.wait_s)))
    return Errand(done.reply, fault, done.rows, desk.ledger)


def _answer(
    desk: Desk, request: Request, dialect: Dialect, route: Route, names: tuple[str, ...]
) -> Done:
    try:
        return route.answer(desk, request, *names)
    except Rejected as rejected:
        return Done(_error(dialect, rejected.failure))
    except Refused as refused:
        return Done(refused.reply)


def _error(dialect: Dialect, failure: Failure) -> Reply:
    error = dialect.error(failure, "", 0)
    return json_reply(error.status, error.body, dialect.headers({}, None, 0) | error.headers)
