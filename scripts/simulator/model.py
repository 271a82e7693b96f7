"""The simulated model: what it says to a call, the same whenever it is asked the same."""

from typing import Any
from zlib import crc32

import orjson

from scripts.simulator.calls import CHARACTERS_PER_TOKEN, Answer, Call, Called, Finish, Tool
from scripts.simulator.evidence import has_evidence, quotes_of
from scripts.simulator.lies import Honest, lie
from scripts.simulator.options import OutputTokens
from scripts.simulator.schemas import satisfy
from scripts.simulator.translation import translate
from scripts.simulator.troubles import Trouble, may_happen

CACHED_FROM_TOKENS = 1024
"""OpenAI caches prompts from this length on."""

CACHED_STEP_TOKENS = 64
"""Mistral reports cached tokens in multiples of this."""

REFUSAL = "I can't help with that."

FILLER = "The tide comes in, fills the pond and turns the wheel through the night. " * 64


def think(call: Call, lengths: OutputTokens, trouble: Trouble | None) -> Answer:
    """Return the model's answer to `call`, as long as its job's id decides and `max_tokens` allows.

    A text repeats the job's mark and a checksum of the prompt, so that an answer which ends up at
    another job is seen. A document is as long as its schema makes it, and a translation as its source,
    whatever is charged for it.
    """
    wanted = _length(call.job_id, lengths)
    most = call.max_tokens or wanted
    tokens = min(wanted, most)
    if call.tool is not None and trouble is not Trouble.REFUSAL:
        return _calls(call, call.tool, tokens)
    honest = _honest(call, tokens)
    answer = Answer(honest.text, Finish.COMPLETE, call.input_tokens, 0, tokens, 0)
    answer.truth = fingerprint(honest.text if call.schema is None else honest.document)
    said = None
    if trouble is not None and may_happen(trouble, call):
        said = lie(trouble, honest, call)
    if trouble is Trouble.REFUSAL:
        answer.text, answer.finish, answer.output_tokens = REFUSAL, Finish.REFUSED, 0
    elif said is not None:
        answer.text, answer.finish = said.text, said.finish
        answer.output_tokens = tokens if said.tokens is None else said.tokens
    elif wanted > most or trouble is Trouble.LENGTH:
        answer.text, answer.finish = honest.text[: len(honest.text) // 2], Finish.TRUNCATED
        trouble = Trouble.LENGTH
    if trouble is not None and answer.text != honest.text:
        answer.lie = trouble
    return answer


def _calls(call: Call, tool: Tool, tokens: int) -> Answer:
    """Return a call of a tool, with arguments as its schema demands."""
    called = Called(tool.name, satisfy(tool.parameters, _label(call)))
    answer = Answer("", Finish.TOOL_CALL, call.input_tokens, 0, tokens, 0, called=called)
    answer.truth = fingerprint(called.arguments)
    return answer


def _label(call: Call) -> str:
    return f"[job:{call.job_id}] {crc32(call.text.encode(errors='surrogatepass')):08x}"


def fingerprint(output: Any) -> int:
    """Return by what an answer is known: a text, or a document whatever the order of its keys."""
    if isinstance(output, str):
        return crc32(output.encode(errors="surrogatepass"))
    return crc32(orjson.dumps(output, option=orjson.OPT_SORT_KEYS))


def split(answer: Answer, cached_percent: int, reasoning_percent: int) -> None:
    """Enter which part of the input was cached and which part of the output was reasoning."""
    if cached_percent and answer.input_tokens >= CACHED_FROM_TOKENS:
        cached = answer.input_tokens * cached_percent // 100
        answer.cached_tokens = cached - cached % CACHED_STEP_TOKENS
    answer.reasoning_tokens = answer.output_tokens * reasoning_percent // 100


def _length(job_id: str, lengths: OutputTokens) -> int:
    span = lengths.most - lengths.least + 1
    return lengths.least + (crc32(job_id.encode()) % span if span > 1 else 0)


def _honest(call: Call, tokens: int) -> Honest:
    if call.translation is not None:
        text = translate(call.translation)
        return Honest(text, None if call.schema is None else orjson.loads(text))
    label = _label(call)
    if call.schema is not None:
        document = satisfy(call.schema, label)
        if has_evidence(document):
            document["evidence"] = quotes_of(document["value"], call.question)
        return Honest(orjson.dumps(document).decode(), document)
    size = tokens * CHARACTERS_PER_TOKEN - len(label) - 1
    if size <= 0:
        return Honest(label)
    repeats = -(-size // len(FILLER))
    filler = FILLER if repeats == 1 else FILLER * repeats
    return Honest(f"{label} {filler[:size]}")
