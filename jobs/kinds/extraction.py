"""Extraction: a text and a JSON Schema in, a value out that satisfies it and, if asked for, its evidence."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec

from jobs.exchange import Answer, Message, ModelRequest
from jobs.kinds.answers import no_answer
from jobs.kinds.chunks import Chunk, chunks_of
from jobs.kinds.evidence import NAMED_UNITS, Source, checked, with_evidence
from jobs.kinds.generation import (
    DEFAULT_MAX_TOKENS,
    NO_SCHEMA,
    MaxTokens,
    ModelName,
    Seed,
    Temperature,
)
from jobs.kinds.kind import Bad, FieldFault, Good, Plan, Remedy, Verdict
from jobs.kinds.merge import Merge
from jobs.kinds.partial_schemas import partial
from jobs.kinds.schemas import (
    KEPT_SCHEMAS,
    Schema,
    UnusableSchema,
    compiled,
    judge_json,
    judge_value,
    read_schema,
)

FEWEST_PART_TOKENS = 200
PartTokens = Annotated[int, msgspec.Meta(ge=FEWEST_PART_TOKENS, le=1_000_000)]

DEFAULT_PART_TOKENS = 8_000
"""A quarter of the smallest context window in wide use; and models overlook less in short texts."""

OVERLAP_TOKENS = 200
"""That a part shares with the one before it: a paragraph. Of a short part it is a tenth."""

MAX_PARTS = 1_000
"""Of one text: a line has at most 16 MiB, which are 500 parts of the default length."""

QUOTED_CHARACTERS = 80
"""Of a quote that does not occur in the text."""

_TASK = """\
You extract data from a text. Answer with one JSON value that satisfies the JSON Schema below, and with \
nothing else. Take every value from the text, never guess one; leave out what the text does not say, \
where the schema allows that."""

_PART = "The text is a part of a longer one: extract what this part says."

_EVIDENCE = """\
Under `evidence`, give for every property of `value`, and where a property is a list for every item of \
it, its `path` as a JSON Pointer within `value` (such as /name or /items/0) and a `quote`: the words of \
the text that say so, copied exactly."""


class ExtractionLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job line. null says "none", also where the batch has a default.

    `metadata` is the user's own: it is kept with the line and said to nobody.
    """

    custom_id: str
    kind: Literal["extraction"] = "extraction"
    model: ModelName = ""
    text: str = ""
    schema: msgspec.Raw = NO_SCHEMA
    instructions: str | None = None
    evidence: bool = False
    merge_key: str | None = None
    """The property that tells the items of lists apart, where a long text is read in parts."""
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS
    temperature: Temperature | None = None
    seed: Seed | None = None
    part_tokens: PartTokens = DEFAULT_PART_TOKENS
    """How long a text may be, or else a part of it: estimated tokens."""
    metadata: dict[str, Any] | None = None


class Extraction:
    """The kind `extraction`."""

    name = "extraction"
    line_type = ExtractionLine

    def check(self, line: ExtractionLine) -> FieldFault | None:
        """Return what is wrong between the fields."""
        if not line.text.strip():
            return FieldFault("missing_text", "text", "expected a `text` to extract from")
        raw = bytes(line.schema)
        if raw in {b"", b"null"}:
            return FieldFault(
                "missing_schema", "schema", "expected the JSON Schema of what is to be extracted"
            )
        try:
            read_schema(raw)
            _asked(raw, line.evidence, is_part=True)
        except UnusableSchema as error:
            return FieldFault(error.code, "schema", str(error))
        if line.part_tokens < FEWEST_PART_TOKENS:  # as the batch's default may be
            return FieldFault(
                "out_of_range", "part_tokens", f"expected at least {FEWEST_PART_TOKENS}"
            )
        parts = len(_chunks(line))
        if parts > MAX_PARTS:
            return FieldFault(
                "too_many_parts",
                "part_tokens",
                f"the text would be read in {parts:,} parts; expected at most {MAX_PARTS:,}",
            )
        return None

    def plan(self, line: ExtractionLine) -> Plan:
        """Return the calls of the line: one for each part of its text, most have one."""
        return ExtractionPlan(line)


class ExtractionPlan(Plan):
    """The same question to every part of the text; what the parts say is merged.

    For a text of 1.8 KB and a schema of 1 KB the check and the plan take 13 us, judging an answer with ten
    quotes 20 to 130 us, depending on how exactly it quotes. Merging ten parts of fifty items takes 0.8 ms.
    """

    def __init__(self, line: ExtractionLine) -> None:
        self._line = line
        self._chunks = _chunks(line)
        self._schema = read_schema(bytes(line.schema))
        self._asked = _asked(bytes(line.schema), line.evidence, is_part=len(self._chunks) > 1)
        system = _system(line, self._asked, is_part=len(self._chunks) > 1)
        self._requests = tuple(
            ModelRequest(
                messages=(Message("user", _told(chunk, number, len(self._chunks))),),
                max_tokens=line.max_tokens,
                system=system,
                temperature=line.temperature,
                seed=line.seed,
                schema=self._asked.document,
            )
            for number, chunk in enumerate(self._chunks, 1)
        )

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """One request for each part of the text."""
        return self._requests

    @property
    def judged_by(self) -> Any:
        """The whole line, but for its name and whom it asks."""
        return msgspec.structs.replace(self._line, custom_id="", model="")

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Return what was extracted from one part, or why the answer is none.

        With evidence the value is `{"value", "evidence": [{"path", "quote", "start", "end"}]}`, where
        the places are characters of the whole text.
        """
        if (bad := no_answer(answer)) is not None:
            return bad
        verdict = judge_json(answer.text, self._asked)
        if isinstance(verdict, Bad) or not self._line.evidence:
            return verdict
        chunk = self._chunks[len(kept)]
        value = verdict.output["value"]
        evidence, missing = checked(value, verdict.output["evidence"], Source(chunk.text))
        if missing:
            return Bad("evidence_missing", _unproven(missing))
        for found in evidence:
            found["start"] += chunk.start
            found["end"] += chunk.start
        return Good({"value": value, "evidence": evidence}, verdict.mended)

    def join(self, kept: Sequence[Any]) -> Verdict:
        """Return what all parts say together, if that satisfies the schema.

        Where parts contradict each other the first one stands, and `mended` says where that is.
        """
        if len(self._chunks) == 1:
            return Good(kept[0])
        merge = Merge(self._line.merge_key)
        evidence: dict[tuple[str, int, int], dict[str, Any]] = {}
        for output in kept:
            moved = merge.add(output["value"] if self._line.evidence else output)
            for found in output["evidence"] if self._line.evidence else ():
                if (path := moved.get(found["path"])) is not None:
                    place = (path, found["start"], found["end"])
                    evidence.setdefault(place, {**found, "path": path})
        verdict = judge_value(merge.value, self._schema)
        if isinstance(verdict, Bad):
            # No one answer is to blame, so nothing can be told to the model; another may find more.
            message = f"what the parts say together does not fit: {verdict.message}"
            return Bad(verdict.code, message, Remedy.TURN)
        value = verdict.output
        return Good(
            {"value": value, "evidence": list(evidence.values())} if self._line.evidence else value,
            _contradictions(merge) or verdict.mended,
        )

    def recheck(self, output: Any, was: Plan) -> Verdict | None:
        """Judge the whole value, and its evidence if that is asked for; None if there is none then."""
        if not isinstance(was, ExtractionPlan):
            return None
        had_evidence = was._line.evidence
        verdict = judge_value(output["value"] if had_evidence else output, self._schema)
        if isinstance(verdict, Bad) or not self._line.evidence:
            return verdict
        if not had_evidence:
            return None
        quotes = [{"path": found["path"], "quote": found["quote"]} for found in output["evidence"]]
        evidence, missing = checked(verdict.output, quotes, Source(self._line.text))
        if missing:
            return Bad("evidence_missing", _unproven(missing))
        return Good({"value": verdict.output, "evidence": evidence}, verdict.mended)


def _unproven(missing: Mapping[str, str]) -> str:
    """Return what a model is told of the units without evidence, and of what it quoted instead."""
    named = [
        f"{unit or '/'} ({quote[:QUOTED_CHARACTERS]!r} does not occur in it)"
        if quote
        else unit or "/"
        for unit, quote in islice(missing.items(), NAMED_UNITS)
    ]
    further = f" and {len(missing) - NAMED_UNITS} more" if len(missing) > NAMED_UNITS else ""
    return f"no `quote` that occurs in the text is given for {', '.join(named)}{further}"


def _contradictions(merge: Merge) -> str | None:
    if not merge.conflicts:
        return None
    named = ", ".join(place or "/" for place in merge.conflicts[:NAMED_UNITS])
    return f"parts contradict each other, the first stands: {named}"


def _chunks(line: ExtractionLine) -> tuple[Chunk, ...]:
    return chunks_of(line.text, line.part_tokens, min(OVERLAP_TOKENS, line.part_tokens // 10))


@lru_cache(maxsize=2 * KEPT_SCHEMAS)
def _asked(raw: bytes, evidence: bool, *, is_part: bool) -> Schema:
    """Return the schema that an answer has to satisfy, compiled."""
    schema = read_schema(raw)
    if not (evidence or is_part):
        return schema
    document = partial(schema.document) if is_part else dict(schema.document)
    return compiled(with_evidence(document) if evidence else document)


def _system(line: ExtractionLine, asked: Schema, *, is_part: bool) -> str:
    texts = [_TASK]
    if is_part:
        texts.append(_PART)
    if line.merge_key is not None:
        texts.append(f"Items of lists are told apart by their `{line.merge_key}`: always give it.")
    if line.evidence:
        texts.append(_EVIDENCE)
    texts.append(f"JSON Schema:\n{asked.text}")
    if line.instructions:
        texts.append(line.instructions)
    return "\n\n".join(texts)


def _told(chunk: Chunk, number: int, count: int) -> str:
    heading = "Text:" if count == 1 else f"Part {number} of {count} of the text:"
    # The cue at the end is for models that continue texts rather than follow instructions.
    return f"{heading}\n\n{chunk.text}\n\nJSON:"
