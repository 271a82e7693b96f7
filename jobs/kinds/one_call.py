"""The plan of a line whose body was written for an endpoint of a provider's: one call."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from jobs.exchange import Answer, Endpoint, ModelRequest
from jobs.kinds.bodies import one_line, text_of
from jobs.kinds.kind import Good, Plan, Verdict
from jobs.kinds.schemas import Schema


class OneCall(Plan):
    """One call, whose reply is the output where the provider has that endpoint."""

    endpoint: ClassVar[Endpoint]

    def __init__(self, request: ModelRequest, temperature: float | None) -> None:
        self._request = request
        self._temperature = temperature
        """As it was asked for."""

    @abstractmethod
    def _asked_schema(self) -> Schema | None:
        """Return the schema of the format that was asked for."""

    @abstractmethod
    def _made(self, answer: Answer, text: str) -> Any:
        """Return the reply that the endpoint would have had for another provider's answer."""

    def _is_cut_off(self, output: Any) -> bool:
        """Whether a reply ended where `max_tokens` did."""
        return False

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """The one request."""
        return (self._request,)

    @property
    def wants_variety(self) -> bool:
        """Whether answers are drawn, as they are unless the body asks for a temperature of zero."""
        return self._temperature != 0

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Return the reply: the provider's own, or one that is made of its answer."""
        if (reply := answer.reply_of(self.endpoint)) is not None:
            return Good(one_line(reply))
        verdict = text_of(answer, self._schema_for(answer))
        if not isinstance(verdict, Good):
            return verdict
        return Good(self._made(answer, verdict.output), verdict.mended)

    def _schema_for(self, answer: Answer) -> Schema | None:
        """Return the schema that is looked after here: none where a server got the format itself."""
        passed = self._request.passed
        is_in_chat = passed is not None and passed.in_chat is not None
        if is_in_chat and answer.reply_of(Endpoint.CHAT) is not None:
            return None
        return self._asked_schema()

    def recheck(self, output: Any, was: Plan) -> Verdict | None:
        """Keep a reply, unless it was cut off and may be longer now."""
        if not isinstance(was, type(self)):
            return None
        may_be_longer = self._request.max_tokens > was._request.max_tokens
        return None if may_be_longer and self._is_cut_off(output) else Good(output)
