"""`tidemill.toml`: the providers, their pools and limits, routes and prices. Read once, frozen, checked."""

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from jobs import wording
from jobs.errors import ConfigurationError
from jobs.exchange import Endpoint
from jobs.key_references import KeyReference
from jobs.money import read_decimal
from jobs.sources import check_prefix
from jobs.states import LaneWish


class ProtocolName(StrEnum):
    """The wire formats that workers speak."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    MISTRAL = "mistral"


LANE_HOSTS = {
    ProtocolName.OPENAI: "openai.com",
    ProtocolName.ANTHROPIC: "anthropic.com",
    ProtocolName.GEMINI: "googleapis.com",
    ProtocolName.MISTRAL: "mistral.ai",
}
"""Whose own hosts have a batch API, known without being told."""

LONGEST_LANE_S = 7 * 86_400.0


class Charges(StrEnum):
    """What of a call a provider's token limits count.

    `max_output`: the request's bound, taken when the call arrives and not given back. `real`: the
    input, and the output that is really produced. `input`: the input alone.
    """

    MAX_OUTPUT = "max_output"
    REAL = "real"
    INPUT = "input"


class Section(BaseModel):
    """A part of the file: unknown fields are errors, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Bound = Annotated[int, Field(strict=True, gt=0, le=10**12)]
"""A limit: `true` and "600" are mistakes, not numbers."""


class Limits(Section):
    """What a quota allows; None where a dimension is not limited.

    r = requests, t = tokens in and out, it/ot = input/output tokens; s, m, h, d = per second, minute,
    hour, day. `concurrency` is calls in flight over all workers.
    """

    rps: Bound | None = None
    rpm: Bound | None = None
    rph: Bound | None = None
    rpd: Bound | None = None
    tpm: Bound | None = None
    itpm: Bound | None = None
    otpm: Bound | None = None
    tpd: Bound | None = None
    concurrency: Bound | None = None


class ModelLimits(Section):
    """Limits of some models within a pool."""

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    limits: Limits


class Pool(Section):
    """One quota at a provider, however many keys share it. Without keys, calls carry none."""

    name: Annotated[str, Field(pattern=wording.NAME)] = "main"
    keys: tuple[KeyReference, ...] = ()
    limits: Limits = Limits()
    model_limits: tuple[ModelLimits, ...] = ()


def _check_base_url(url: str) -> str:
    """Return an address that every reader takes for the same one; no message repeats it."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if _NOT_IN_AN_ADDRESS.search(url):
        raise ValueError("must be an address without spaces, backslashes, `?` or `#`")
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        raise ValueError("must have a host, and a port that is one") from None
    if "@" in parts.netloc:
        raise ValueError("must have no user or password in it: a pool names its keys")
    if not (parts.hostname and has_port):
        raise ValueError("must have a host, and a port that is one")
    return url.rstrip("/")


_NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x20\x7f-\uffff\\?#]")
"""Where readers of addresses differ about what is the host; a name in another script is written xn--."""


class BatchLane(Section):
    """A provider's batch API, which is half price and slow: what fits into it, and how it is watched."""

    enabled: bool = True
    max_jobs: Bound | None = None
    """In one native batch; None for what the provider documents, as with the three after it."""
    max_bytes: Bound | None = None
    expires_after_s: Annotated[float, Field(gt=0, le=LONGEST_LANE_S)] | None = None
    cancel_s: Annotated[float, Field(ge=0, le=LONGEST_LANE_S)] | None = None
    """How long a cancel takes at most; a rescue begins so much earlier."""
    enqueued_tokens: Bound | None = None
    """Input tokens that may be in native batches at a time, for each pool and model."""
    max_open: Annotated[int, Field(strict=True, gt=0, le=10_000)] = 50
    """Native batches that may be open at a time, for each pool."""
    turnaround_s: Annotated[float, Field(gt=0, le=LONGEST_LANE_S)] = 24 * 3600.0
    """How long a native batch usually takes. What all four promise is a day; most take far less."""
    look_every_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How often an open native batch is looked at."""


class Provider(Section):
    """A configured endpoint: where it is, what it speaks, which models resolve to it."""

    protocol: ProtocolName
    base_url: Annotated[str, AfterValidator(_check_base_url)]
    models: tuple[str, ...] = ()
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)] = (Pool(),)
    charges: Charges | None = None
    """None leaves it to what is known of the protocol and the host."""
    responses: bool | None = None
    """Whether it answers `/responses`; None leaves it to the host, of which OpenAI's own do."""
    batch_lane: BatchLane | None = None
    """None leaves it to the host: the four companies' own have one."""

    @model_validator(mode="after")
    def _pools_have_different_names(self) -> Self:
        names = [pool.name for pool in self.pools]
        if len(set(names)) != len(names):
            raise ValueError("two pools have the same name")
        return self

    @model_validator(mode="after")
    def _pools_have_different_keys(self) -> Self:
        owners: dict[str, str] = {}
        for pool in self.pools:
            for key in pool.keys:
                if owners.setdefault(key, pool.name) != pool.name:
                    raise ValueError(
                        f"pools {owners[key]!r} and {pool.name!r} both have the key {key}, whose limits "
                        "would be used twice: keys that share a quota belong into one pool"
                    )
        return self

    @model_validator(mode="after")
    def _has_responses_in_openais_format(self) -> Self:
        if self.responses and self.protocol is not ProtocolName.OPENAI:
            raise ValueError("`responses` is of providers with the protocol 'openai' only")
        return self

    @property
    def is_openais_own(self) -> bool:
        """Whether its host is one of OpenAI's, not a server that speaks the same."""
        host = urlsplit(self.base_url).hostname or ""
        return self.protocol is ProtocolName.OPENAI and f".{host}".endswith(".openai.com")

    @property
    def lane(self) -> BatchLane | None:
        """Its batch API, if jobs may be sent there."""
        if self.batch_lane is not None:
            return self.batch_lane if self.batch_lane.enabled else None
        host = urlsplit(self.base_url).hostname or ""
        return BatchLane() if f".{host}".endswith(f".{LANE_HOSTS[self.protocol]}") else None

    def takes(self, endpoint: Endpoint) -> bool:
        """Whether it is sent a body that was written for this endpoint as it was written."""
        match endpoint:
            case Endpoint.CHAT:
                return self.protocol is ProtocolName.OPENAI
            case Endpoint.RESPONSES if self.protocol is ProtocolName.OPENAI:
                return self.is_openais_own if self.responses is None else self.responses
            case Endpoint.RESPONSES:
                return False
            case Endpoint.MESSAGES:
                return self.protocol is ProtocolName.ANTHROPIC

    def serves(self, model: str) -> bool:
        """Whether one of the `models` patterns matches the model's name."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


FAILOVER_AFTER_S = 30.0
"""A route's next target is taken when the one before would wait longer, unless it says otherwise."""

LONGEST_FAILOVER_S = 86_400.0

FailoverAfter = Annotated[float, Field(ge=0, le=LONGEST_FAILOVER_S, allow_inf_nan=False)]


class Route(Section):
    """An ordered list of `provider/model` targets.

    With `weights` each job has a first target of its own, chosen in these proportions; the others
    follow in the order of the list.
    """

    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    weights: tuple[PositiveInt, ...] = ()
    failover_after_s: FailoverAfter = FAILOVER_AFTER_S

    @model_validator(mode="after")
    def _lists_fit(self) -> Self:
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("a target is named twice")
        if self.weights and len(self.weights) != len(self.targets):
            raise ValueError(
                f"{len(self.targets)} targets and {len(self.weights)} weights: give one for each"
            )
        return self


def _parse_price(text: str) -> str:
    try:
        price = read_decimal(text)
    except ValueError:
        raise ValueError("write a price as a decimal string such as '0.30'") from None
    if not price.is_finite() or price < 0:
        raise ValueError("a price is zero or more")
    return text


PriceText = Annotated[str, AfterValidator(_parse_price)]


class PriceOverride(Section):
    """Dollars per million tokens, over what genai-prices knows. Cached input defaults to `input`.

    Those that begin with `batch_` are of native batches. Without them these cost as much as live calls:
    half of it is never assumed.
    """

    input: PriceText
    output: PriceText
    cached_input: PriceText | None = None
    cache_write: PriceText | None = None
    batch_input: PriceText | None = None
    batch_output: PriceText | None = None
    batch_cached_input: PriceText | None = None
    batch_cache_write: PriceText | None = None

    @model_validator(mode="after")
    def _batch_price_is_whole(self) -> Self:
        if (self.batch_input is None) != (self.batch_output is None):
            raise ValueError("`batch_input` and `batch_output` are given together or not at all")
        if self.batch_input is None and (self.batch_cached_input or self.batch_cache_write):
            raise ValueError("a price of batches begins with `batch_input` and `batch_output`")
        return self


class Sources(Section):
    """Where the API may read submissions from, with the credentials of its own environment."""

    allowed: tuple[Annotated[str, AfterValidator(check_prefix)], ...] = ()


class Configuration(Section):
    """The whole file."""

    providers: dict[Annotated[str, Field(pattern=wording.NAME)], Provider] = {}
    routes: dict[Annotated[str, Field(pattern=wording.ROUTE)], Route] = {}
    prices: dict[str, PriceOverride] = {}
    sources: Sources = Sources()
    default_max_tokens: PositiveInt = 1024
    surface_lane: LaneWish = LaneWish.LIVE
    """The lane of batches of the OpenAI and Anthropic surfaces that don't say one."""
    max_image_tokens: PositiveInt | None = None
    """The most that one picture is billed as, by any model in use; without it no budget takes pictures."""

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        for name, route in self.routes.items():
            for target in route.targets:
                provider, slash, model = target.partition("/")
                if not slash or not model or provider not in self.providers:
                    raise ValueError(
                        f"route {name!r}: target {target!r} must be PROVIDER/MODEL with a provider "
                        f"of this file ({', '.join(self.providers) or 'there is none'})"
                    )
        for name in self.prices:
            provider, slash, model = name.partition("/")
            if not slash or not model:
                raise ValueError(f"price {name!r} must be named PROVIDER/MODEL")
        return self


def load_configuration(path: Path) -> Configuration:
    """Read and check `path`; a file that is not there is an empty configuration.

    Raises:
        ConfigurationError: unreadable, not TOML, or with fields that can't be; the message names each
            field and what was expected.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Configuration()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    try:
        return Configuration.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {'; '.join(_sentences(error))}") from error


def _sentences(error: ValidationError) -> Iterator[str]:
    """Yield what is wrong where, without what only follows from it: a list that lacks its bad items."""
    faults = error.errors(include_url=False, include_input=False)
    for fault in faults:
        place = fault["loc"]
        if fault["type"] == "too_short" and any(
            other["loc"][: len(place)] == place for other in faults if other is not fault
        ):
            continue
        yield f"{'.'.join(str(part) for part in place) or 'file'}: {wording.in_words(fault)}"
