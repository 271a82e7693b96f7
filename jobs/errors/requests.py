"""What another request can be refused for: who asks, what there is, and in which state."""

from jobs.errors.root import TidemillError


class NotAuthorised(TidemillError):
    """A valid API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`."""

    code = "unauthorised"


class InsufficientScope(TidemillError):
    """This API key may not do that."""

    code = "insufficient_scope"

    def __init__(self, needed: str) -> None:
        super().__init__(f"this API key lacks the scope `{needed}`")
        self.needed = needed


class TooManyGuesses(TidemillError):
    """Too many unknown API keys came from this address; try again later."""

    code = "too_many_guesses"

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait_s = wait_s


class CrossSite(TidemillError):
    """A page of another site may not do this: send the request from a program, or from here."""

    code = "cross_site"


class NotFound(TidemillError):
    """There is no such thing in this project."""

    code = "not_found"


class Conflict(TidemillError):
    """The request does not fit the present state."""

    code = "conflict"


class IllegalTransition(Conflict):
    """The batch is not in a state that allows this."""

    code = "illegal_transition"


class LeaseLost(Conflict):
    """This worker no longer owns its slice."""

    code = "lease_lost"


class DuplicateCustomId(Conflict):
    """A custom_id is there already in this batch."""

    code = "duplicate_custom_id"


class RequestInProgress(Conflict):
    """Another request with this Idempotency-Key is in progress; ask again for its answer."""

    code = "request_in_progress"


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"
