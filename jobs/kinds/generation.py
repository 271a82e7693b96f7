"""Generation: a prompt or a conversation in, a text or a JSON value out."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from jobs.exchange import Answer, Finish, Message, ModelRequest
from jobs.kinds.answers import denied, no_answer
from jobs.kinds.filters import MissingVariable, RenderedTooLarge, UnfitVariables
from jobs.kinds.kind import Bad, FieldFault, Good, Plan, Verdict
from jobs.kinds.schemas import UnusableSchema, judge_json, read_schema
from jobs.kinds.templates import UnusableTemplate, head_of, render

ModelName = Annotated[str, msgspec.Meta(max_length=256)]
"""It is a part of keys in the database and in Redis; the longest of any provider's has some 200."""

MaxTokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
TopP = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, msgspec.Meta(min_length=1)]
Stop = StopText | Annotated[tuple[StopText, ...], msgspec.Meta(max_length=4)]
"""One text or up to four: the most that every provider takes."""

Samples = Annotated[int, msgspec.Meta(ge=1, le=16)]
"""Answers to one request; who wants more sends several jobs, which run side by side."""

DEFAULT_MAX_TOKENS = 1024

NO_SCHEMA = msgspec.Raw()


class GenerationLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job line. null says "none", also where the batch has a default.

    `metadata` is the user's own: it is kept with the line and said to nobody.

    With `variables`, or without a prompt, the template is filled in and is the prompt. Of several
    samples (`n`) each has a seed of its own where a seed is given, and the output is their list.
    `keep_truncated` takes a text that was cut off at `max_tokens` for what it is: a beginning.
    """

    custom_id: str
    kind: Literal["generation"] = "generation"
    model: ModelName = ""
    system: str | None = None
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    template: str | None = None
    variables: dict[str, Any] | None = None
    n: Samples = 1
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    schema: msgspec.Raw = NO_SCHEMA
    keep_truncated: bool = False
    metadata: dict[str, Any] | None = None


class Generation:
    """The kind `generation`."""

    name = "generation"
    line_type = GenerationLine

    def check(self, line: GenerationLine) -> FieldFault | None:
        """Return what is wrong between the fields."""
        if _is_templated(line):
            fault = _check_template(line)
        elif line.messages is not None:
            fault = _check_messages(line, line.messages)
        elif not line.prompt:
            fault = FieldFault(
                "missing_prompt", "prompt", "expected a `prompt`, `messages` or a `template`"
            )
        else:
            fault = None
        if fault is None and (raw := _schema_bytes(line)) is not None:
            try:
                read_schema(raw)
            except UnusableSchema as error:
                return FieldFault(error.code, "schema", str(error))
        return fault

    def plan(self, line: GenerationLine) -> Plan:
        """Return the calls of the line: one for each sample."""
        return GenerationPlan(line)


class GenerationPlan(Plan):
    """One call for each sample, whose answers are the output."""

    def __init__(self, line: GenerationLine) -> None:
        self._line = line
        request = _request(line)
        self._requests: tuple[ModelRequest, ...] = (request,)
        if line.n > 1:
            self._requests = tuple(map(request.reseeded, range(line.n)))

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """The requests of the samples; they differ in nothing but the seed."""
        return self._requests

    @property
    def wants_variety(self) -> bool:
        """Whether there are several samples, or they are drawn."""
        return self._line.n > 1 or super().wants_variety

    @property
    def judged_by(self) -> Any:
        """Whether a text must be complete."""
        return None if self._takes_truncated() else "complete"

    @property
    def head_characters(self) -> int:
        """Those before the first variable of a template."""
        return len(head_of(self._line.template or "")) if _is_templated(self._line) else 0

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Return the text, or with a schema the JSON value that satisfies it.

        A truncated text is an answer where the line says so; truncated JSON never is.
        """
        raw = _schema_bytes(self._line)
        may_deny = denied(answer.text) and self._quotes(answer.text)
        may_be_cut = self._takes_truncated()
        if (bad := no_answer(answer, may_be_cut=may_be_cut, may_deny=may_deny)) is not None:
            return bad
        return Good(answer.text) if raw is None else judge_json(answer.text, read_schema(raw))

    def _takes_truncated(self) -> bool:
        return self._line.keep_truncated and _schema_bytes(self._line) is None

    def _quotes(self, text: str) -> bool:
        """Whether the prompt has the text in it, as one that asks for just that."""
        words = text.strip().casefold()
        return any(words in turn.content.casefold() for turn in self._requests[0].messages)

    def join(self, kept: Sequence[Any]) -> Verdict:
        """Return the one answer, or of several samples the list."""
        return Good(kept[0] if self._line.n == 1 else list(kept))

    def recheck(self, output: Any, was: Plan) -> Verdict | None:
        """Judge each sample as if it had just been answered.

        Which of them were cut off is not known any more: where that matters now and didn't, nothing is told.
        """
        if not isinstance(was, GenerationPlan) or was._line.n != self._line.n:
            return None
        if was._takes_truncated() and not self._takes_truncated():
            return None
        kept: list[Any] = []
        mended = None
        for sample in output if self._line.n > 1 else [output]:
            verdict = self.judge(kept, Answer(was._text(sample), Finish.COMPLETE, None))
            if isinstance(verdict, Bad):
                return verdict
            kept.append(verdict.output)
            mended = mended or verdict.mended
        return Good(kept[0] if self._line.n == 1 else kept, mended)

    def _text(self, sample: Any) -> str:
        """Return the answer that has brought a sample."""
        is_text = _schema_bytes(self._line) is None
        return str(sample) if is_text else msgspec.json.encode(sample).decode()


def _request(line: GenerationLine) -> ModelRequest:
    """Return what the line asks: leading system messages become `system`."""
    system, messages = line.system, line.messages
    if _is_templated(line):
        filled = render(line.template or "", line.variables or {})
        turns: tuple[Message, ...] = (Message("user", filled),)
    elif messages is None:
        turns = (Message("user", line.prompt or ""),)
    else:
        turns = tuple(message for message in messages if message.role != "system")
        if len(turns) < len(messages):
            leading = messages[: len(messages) - len(turns)]
            system = "\n\n".join(message.content for message in leading)
    stop = (line.stop,) if isinstance(line.stop, str) else line.stop or ()
    raw = _schema_bytes(line)
    return ModelRequest(
        messages=turns,
        max_tokens=line.max_tokens,
        system=system,
        temperature=line.temperature,
        top_p=line.top_p,
        stop=stop,
        seed=line.seed,
        schema=None if raw is None else read_schema(raw).document,
    )


def _schema_bytes(line: GenerationLine) -> bytes | None:
    """Return the JSON text of the schema, None where there is none."""
    if line.schema is NO_SCHEMA:
        return None
    raw = bytes(line.schema)
    return None if raw in {b"", b"null"} else raw


def _is_templated(line: GenerationLine) -> bool:
    """Whether the prompt is the filled template: a batch's default leaves prompts alone."""
    if line.variables is not None:
        return True
    return line.template is not None and line.prompt is None and line.messages is None


def _check_template(line: GenerationLine) -> FieldFault | None:
    if line.template is None:
        return FieldFault(
            "missing_template",
            "template",
            "expected the template of the `variables`, on the line or as the batch's default",
        )
    if line.prompt is not None or line.messages is not None:
        field = "prompt" if line.prompt is not None else "messages"
        return FieldFault(
            "conflicting_fields", field, "expected either `variables` or a prompt, not both"
        )
    try:
        filled = render(line.template, line.variables or {})
    except UnusableTemplate as error:
        return FieldFault("invalid_template", "template", str(error))
    except MissingVariable as error:
        return FieldFault("missing_variable", f"variables.{error.name}", str(error))
    except RenderedTooLarge as error:
        return FieldFault("rendered_too_large", "variables", str(error))
    except UnfitVariables as error:
        return FieldFault("unfit_variables", "variables", str(error))
    if not filled.strip():
        return FieldFault("missing_prompt", "template", "expected a text; the filled one is empty")
    return None


def _check_messages(line: GenerationLine, messages: tuple[Message, ...]) -> FieldFault | None:
    if line.prompt is not None:
        return FieldFault(
            "conflicting_fields", "messages", "expected either `prompt` or `messages`, not both"
        )
    turns = [index for index, message in enumerate(messages) if message.role != "system"]
    if not turns:
        return FieldFault("missing_prompt", "messages", "expected at least one turn of the user")
    if len(turns) == len(messages):
        return None
    if line.system is not None:
        return FieldFault(
            "conflicting_fields",
            "messages[0].role",
            "the system text is given twice; expected `system` (of the line or of the batch) or a "
            "system message",
        )
    for index in range(turns[0], len(messages)):
        if messages[index].role == "system":
            return FieldFault(
                "invalid_value",
                f"messages[{index}].role",
                "expected system messages only before the first turn",
            )
    return None
