"""The simulated providers' prompt caches: what a prompt begins with is read from there, if it is there.

As documented in November 2026: Anthropic keeps what a request marks, for five minutes from its last use,
and nothing below 1,024 tokens. The others keep what they like, in steps: OpenAI from 1,024 tokens, Gemini
from 2,048, Mistral in multiples of 64. An entry can be read once the answer to the call that wrote it has
begun, so calls that leave together all write.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import orjson

from scripts.simulator.calls import CHARACTERS_PER_TOKEN, Call

KEPT_S = 300.0
MOST_ENTRIES = 100_000
"""The oldest go; a cache holds no more for anybody's sake."""


class Rules(NamedTuple):
    """From how many tokens on a provider caches by itself, in what steps, and whether it tells of writes."""

    fewest_tokens: int
    step_tokens: int
    tells_writes: bool


AUTOMATIC = {
    "openai": Rules(1024, 128, tells_writes=True),
    "gemini": Rules(2048, 256, tells_writes=False),
    "mistral": Rules(1024, 64, tells_writes=False),
}
FEWEST_MARKED_TOKENS = 1024


class Found(NamedTuple):
    """What of a prompt was there, and what its call writes beyond that, where that is told (tokens)."""

    cached_tokens: int
    written_tokens: int
    entries: tuple[bytes, ...] = ()
    """Of all that is there once the call was answered."""


NOTHING_FOUND = Found(0, 0)


@dataclass(slots=True)
class _Entry:
    readable_at_s: float
    expires_at_s: float


class PromptCaches:
    """Those of all providers. An account, told by its key, sees its own; times are a monotonic clock's."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}

    def look(self, protocol: str, account: str, call: Call, now_s: float) -> Found:
        """Return what of a call's prompt can be read now, and what it writes."""
        beginnings = list(_beginnings(protocol, account, call))
        cached = 0
        for tokens, entry in beginnings:
            if self._is_readable(entry, now_s):
                cached = max(cached, tokens)
        longest = beginnings[-1][0] if beginnings else 0
        is_told = call.marked is not None or AUTOMATIC[protocol].tells_writes
        entries = tuple(entry for _, entry in beginnings)
        return Found(cached, longest - cached if is_told else 0, entries)

    def keep(self, found: Found, answered_at_s: float) -> None:
        """Keep a prompt whose answer begins at that time; what was there is kept anew."""
        for name in found.entries:
            entry = self._entries.pop(name, None)  # and to the end, as the newest
            readable_at_s = answered_at_s
            if entry is not None and answered_at_s < entry.expires_at_s:
                readable_at_s = min(entry.readable_at_s, answered_at_s)
            self._entries[name] = _Entry(readable_at_s, answered_at_s + KEPT_S)
        for name in list(islice(self._entries, max(0, len(self._entries) - MOST_ENTRIES))):
            del self._entries[name]

    def _is_readable(self, name: bytes, now_s: float) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.readable_at_s <= now_s < entry.expires_at_s


def _beginnings(protocol: str, account: str, call: Call) -> Iterator[tuple[int, bytes]]:
    """Yield how many tokens the cacheable beginnings of a prompt have, and their names; ascending."""
    schema = b"" if call.schema is None else orjson.dumps(call.schema)
    name = blake2b(orjson.dumps((protocol, account, call.model)), digest_size=16)
    name.update(schema)  # it stands before everything else
    if call.marked is not None:
        tokens = -(-len(call.marked) // CHARACTERS_PER_TOKEN)
        if tokens >= FEWEST_MARKED_TOKENS:
            name.update(call.marked.encode(errors="surrogatepass"))
            yield tokens, name.digest()
        return
    rules = AUTOMATIC[protocol]
    text, step = call.text, rules.step_tokens * CHARACTERS_PER_TOKEN
    for end in range(step, len(text) + 1, step):
        name.update(text[end - step : end].encode(errors="surrogatepass"))
        tokens = end // CHARACTERS_PER_TOKEN
        if tokens >= rules.fewest_tokens:
            yield tokens, name.digest()
