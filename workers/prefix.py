"""How a request begins that others may begin with as well: what the providers' prompt caches hold.

Providers put a schema first, then the system text, then the turns, and cache from the front.
"""

from hashlib import blake2b

import msgspec

from jobs.exchange import ModelRequest
from jobs.tokens import estimate_tokens

FEWEST_TOKENS = 1024
"""No provider caches less."""

IDENTITY_BYTES = 16


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
    most requests nothing is looked at but lengths; 8 KB of instructions take 20 us.
    """
    system = request.system or ""
    # Of a text of so few characters nobody makes more tokens, but for emoji.
    if len(system) + head_characters < FEWEST_TOKENS:
        return None
    head = request.messages[0].content[:head_characters]
    tokens = estimate_tokens(system) + estimate_tokens(head)
    if tokens < FEWEST_TOKENS:
        return None
    schema = b"" if request.schema is None else msgspec.json.encode(request.schema)
    parts = (schema, system.encode("utf-8", "surrogatepass"), head.encode("utf-8", "surrogatepass"))
    whole = blake2b(digest_size=IDENTITY_BYTES)
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return Prefix(whole.hexdigest(), tokens, len(head))
