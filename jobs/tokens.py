"""How many tokens a text will be, before anybody has counted: by classes of its UTF-8 bytes.

Each byte weighs a share of a token. The weights were fitted to the o200k vocabulary over 3,812
extracts of 1,500 characters (prose, code, markup, JSON, figures, and software translations in
thirty languages) and rounded up by a tenth. Estimate over truth: 1.10 in the median, 0.87 to 1.31
between the 5th and the 95th percentile. Random letters (Base64, hexadecimal) come out at 0.85,
Ethiopic at 0.4. Other vocabularies differ; by how much is learned from their answers, not known
here.

Who asks for it gets o200k itself, from the optional package bpe-openai.
"""

import importlib
import zlib
from collections.abc import Callable, Iterable

import msgspec

from jobs.errors import ConfigurationError
from jobs.exchange import ModelRequest
from jobs.settings import TokenCounting

CountTokens = Callable[[str], int]
"""From a text to its tokens; any text, also one with halves of surrogate pairs."""

VOCABULARY = "o200k_base"
"""That of OpenAI's models since 2024; no other provider publishes one that is closer to its own."""

TOKENS_PER_MESSAGE = 4
"""The role and the separators of a turn (OpenAI's format takes 3 to 4)."""

TOKENS_PER_IMAGE = 1_000
"""What a picture is estimated at; by its size and the model it is some 85 to 50,000."""

MOST_TOKENS_PER_IMAGE = 50_000
"""What is reserved for one where the operator doesn't say what it is at most. That is no promise: so no
batch with a budget has pictures then."""

_PER_TOKEN = 32

_WEIGHTS: tuple[tuple[Iterable[int], int], ...] = (
    # In 32nds of a token; later rows win. Continuation bytes (0x80 to 0xBF) weigh nothing: the
    # first byte of a character tells its script.
    (b"abcdefghijklmnopqrstuvwxyz", 7),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 12),
    (b"jkqvwxzJQXZ", 46),  # rare in words, frequent in identifiers, Base64 and hexadecimal
    (b"0123456789", 23),
    (b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 21),
    (b"-=*#_~.", 6),  # come in runs: rules, headings, dotted names
    (range(0x20), 48),  # line ends and tabs; a space belongs to the word that follows
    (range(0xC0, 0xC3), 48),  # Latin-1 signs
    (range(0xC3, 0xCD), 27),  # accented Latin letters, combining accents
    (range(0xCD, 0xD0), 14),  # Greek
    (range(0xD0, 0xD4), 12),  # Cyrillic
    (range(0xD4, 0xD6), 13),  # Armenian
    (range(0xD6, 0xD8), 16),  # Hebrew
    (range(0xD8, 0xE0), 13),  # Arabic
    (range(0xE0, 0xE2), 16),  # the scripts of India and South East Asia, Georgian
    (range(0xE2, 0xE3), 24),  # typographic signs
    (range(0xE3, 0xE4), 22),  # kana
    (range(0xE4, 0xEA), 30),  # CJK ideographs
    (range(0xEA, 0xEE), 28),  # Hangul
    (range(0xEE, 0xF0), 24),  # full-width forms
    (range(0xF0, 0xF8), 58),  # emoji, rare ideographs
)


def _weight_table() -> bytes:
    table = bytearray(256)
    for byte_values, weight in _WEIGHTS:
        for byte in byte_values:
            table[byte] = weight
    return bytes(table)


_WEIGHT_OF_BYTE = _weight_table()
_ADLER_MODULUS = 65_521
_BLOCK_BYTES = (_ADLER_MODULUS - 2) // max(_WEIGHT_OF_BYTE)
"""So many bytes can't reach the modulus, whatever they are."""


def estimate_tokens(text: str) -> int:
    """Return how many tokens `text` may be; zero only for no text, and mildly above the truth."""
    weight = _sum_of_bytes(text.encode("utf-8", "surrogatepass").translate(_WEIGHT_OF_BYTE))
    return max(-(-weight // _PER_TOKEN), 1 if text else 0)


def token_counter(counting: TokenCounting) -> CountTokens:
    """Return what counts the tokens of a text in the way that is configured.

    Raises:
        ConfigurationError: exact counts are asked for, and the package for them isn't installed.
    """
    match counting:
        case TokenCounting.HEURISTIC:
            return estimate_tokens
        case TokenCounting.BPE:
            return _exact_counter()


def _exact_counter() -> CountTokens:
    try:
        encode = importlib.import_module("bpe_openai").get_encoding(VOCABULARY).encode
    except ImportError as error:
        raise ConfigurationError(
            "TIDEMILL_TOKEN_COUNTING is bpe, which needs the package bpe-openai (the extra "
            f"exact-tokens), and that is not installed: {error}"
        ) from error

    def count(text: str) -> int:
        # What looks like a special token is text here: it came from a user.
        return len(encode(text, disallowed_special=()))

    return count


def estimate_request(request: ModelRequest, count_tokens: CountTokens = estimate_tokens) -> int:
    """Return how many tokens go in with `request`: its texts, their framing and its JSON Schema."""
    tokens = 0
    for message in request.messages:
        tokens += TOKENS_PER_MESSAGE + count_tokens(message.content)
    if request.system is not None:
        tokens += TOKENS_PER_MESSAGE + count_tokens(request.system)
    if request.schema is not None:
        tokens += TOKENS_PER_MESSAGE + count_tokens(msgspec.json.encode(request.schema).decode())
    if (passed := request.passed) is not None:
        tokens += count_tokens(passed.beside) + TOKENS_PER_IMAGE * passed.images
        tokens += passed.added_tokens
    return tokens


def most_tokens(request: ModelRequest, max_image_tokens: int | None = None) -> int:
    """Return how many tokens can go in with `request` at most, for reserving money.

    `max_image_tokens` is what a picture is billed as at most, where that is configured.
    No vocabulary in use makes more tokens than bytes; a turn's frame is counted twice over. Of a body
    that is passed on, what isn't text is framed by more bytes of JSON than it makes tokens.
    """
    texts = [message.content for message in request.messages]
    texts.append(request.system or "")
    if request.schema is not None:
        texts.append(msgspec.json.encode(request.schema).decode())
    most = sum(2 * TOKENS_PER_MESSAGE + len(text.encode()) for text in texts)
    if (passed := request.passed) is None:
        return most
    written = len(bytes(passed.body)) - passed.image_bytes + 2 * TOKENS_PER_MESSAGE * len(texts)
    beside = (max_image_tokens or MOST_TOKENS_PER_IMAGE) * passed.images
    beside += max(passed.added_tokens, passed.foreign_tokens)
    return max(most, written + beside)


def _sum_of_bytes(values: bytes) -> int:
    """Return the sum of small byte values.

    The low half of an Adler-32 checksum is one more than the sum of its bytes, below a modulus: the
    one sum over bytes that the standard library computes at the speed of memory.
    """
    if len(values) <= _BLOCK_BYTES:
        return (zlib.adler32(values) & 0xFFFF) - 1
    view = memoryview(values)
    return sum(
        (zlib.adler32(view[start : start + _BLOCK_BYTES]) & 0xFFFF) - 1
        for start in range(0, len(values), _BLOCK_BYTES)
    )
