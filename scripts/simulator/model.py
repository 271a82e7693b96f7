"""The simulated model: what it says to a call, the same whenever it is asked the same."""

from zlib import crc32

import orjson

from scripts.simulator.calls import CHARACTERS_PER_TOKEN, Answer, Call, Finish
from scripts.simulator.faults import Trouble
from scripts.simulator.options import OutputTokens
from scripts.simulator.schemas import satisfy, violate

CACHED_FROM_TOKENS = 1024
"""OpenAI caches prompts from this length on."""

CACHED_STEP_TOKENS = 64
"""Mistral reports cached tokens in multiples of this."""

FILLER = "The tide comes in, fills the pond and turns the wheel through the night. " * 64


def think(call: Call, lengths: OutputTokens, trouble: Trouble | None) -> Answer:
    """Return the model's answer to `call`, as long as its job's id decides and `max_tokens` allows.

    The text repeats the job's mark and a checksum of the prompt, so that an answer which ends up at
    another job is seen. A document is as long as its schema makes it, whatever is charged for it.
    """
    if trouble is Trouble.REFUSAL:
        return Answer("I can't help with that.", Finish.REFUSED, call.input_tokens, 0, 0, 0)
    wanted = _length(call.job_id, lengths)
    most = call.max_tokens or wanted
    tokens = min(wanted, most)
    is_cut = wanted > most or trouble is Trouble.LENGTH
    text = _say(call, tokens, trouble)
    if is_cut:
        text = text[: len(text) // 2]
    return Answer(
        text, Finish.TRUNCATED if is_cut else Finish.COMPLETE, call.input_tokens, 0, tokens, 0
    )


def split(answer: Answer, cached_percent: int, reasoning_percent: int) -> None:
    """Enter which part of the input was cached and which part of the output was reasoning."""
    if cached_percent and answer.input_tokens >= CACHED_FROM_TOKENS:
        cached = answer.input_tokens * cached_percent // 100
        answer.cached_tokens = cached - cached % CACHED_STEP_TOKENS
    answer.reasoning_tokens = answer.output_tokens * reasoning_percent // 100


def _length(job_id: str, lengths: OutputTokens) -> int:
    span = lengths.most - lengths.least + 1
    return lengths.least + (crc32(job_id.encode()) % span if span > 1 else 0)


def _say(call: Call, tokens: int, trouble: Trouble | None) -> str:
    label = f"[job:{call.job_id}] {crc32(call.text.encode(errors='surrogatepass')):08x}"
    if call.schema is not None:
        wants_violation = trouble is Trouble.SCHEMA
        document = violate(call.schema) if wants_violation else satisfy(call.schema, label)
        return orjson.dumps(document).decode()
    size = tokens * CHARACTERS_PER_TOKEN - len(label) - 1
    if size <= 0:
        return label
    repeats = -(-size // len(FILLER))
    filler = FILLER if repeats == 1 else FILLER * repeats
    return f"{label} {filler[:size]}"
