"""How a request begins that others may begin with as well: what the providers' prompt caches hold.

Providers put tools and a schema first, then the system text, then the turns, and cache from the front.
"""

from functools import lru_cache
from hashlib import blake2b

import msgspec

from jobs.exchange import ModelRequest
from jobs.tokens import estimate_tokens

FEWEST_TOKENS = 1024
"""No provider caches less."""

IDENTITY_BYTES = 16

KEPT_TEXTS = 32
KEPT_CHARACTERS = 200_000
"""Texts that are remembered, as the next job mostly begins alike: some megabytes of them at most."""


class Prefix(msgspec.Struct, frozen=True):
    """The same for requests that begin alike.

    `tokens` is estimated, without the schema's. `head_characters` of the first message belong to it.
    """

    identity: str
    tokens: int
    head_characters: int = 0


def prefix_of(request: ModelRequest, head_characters: int = 0) -> Prefix | None:
    """Return the beginning of a request that others may share; None if it is too short to be cached.

    `head_characters` of the first message are those that it has in common with the batch's others. Of
    most requests nothing is looked at but lengths. The first that begins with 8 KB of instructions
    takes 30 us, the next ones 1.
    """
    system = request.system or ""
    # Of a text of so few characters nobody makes more tokens, but for emoji.
    if len(system) + head_characters < FEWEST_TOKENS:
        return None
    head = request.messages[0].content[:head_characters]
    is_kept = len(system) + len(head) <= KEPT_CHARACTERS
    tokens, digest = (_measured if is_kept else _measured.__wrapped__)(system, head)
    if tokens < FEWEST_TOKENS:
        return None
    if request.schema is not None:
        digest = _digest(digest, msgspec.json.encode(request.schema))
    if request.tools is not None:
        digest = _digest(digest, msgspec.json.encode(request.tools))
    return Prefix(digest.hex(), tokens, len(head))


@lru_cache(maxsize=KEPT_TEXTS)
def _measured(system: str, head: str) -> tuple[int, bytes]:
    """Return the estimated tokens of two texts, and what tells them from others."""
    texts = (text.encode("utf-8", "surrogatepass") for text in (system, head))
    return estimate_tokens(system) + estimate_tokens(head), _digest(*texts)


def _digest(*parts: bytes) -> bytes:
    whole = blake2b(digest_size=IDENTITY_BYTES)
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.digest()
