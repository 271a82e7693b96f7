"""Job lines: from the bytes of a submission to jobs, and again to the same jobs in a worker.

What is stored is the line as it was sent, beside its batch's defaults; both are decoded by the same
typed decoder wherever they are needed, so that the API and the workers can't read them differently.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from jobs.budget import no_price
from jobs.characters import has_hidden
from jobs.clock import utcnow
from jobs.defaults import JSON_TEXTS, JobDefaults, expected_kinds
from jobs.errors import InvalidSubmission, LineFault, UnknownModel
from jobs.exchange import ModelRequest, Passed
from jobs.kinds import KINDS
from jobs.kinds.faults import BYTE_ORDER_MARK, fault_of, fault_of_json
from jobs.kinds.kind import FieldFault, Kind, Plan
from jobs.prices import PriceBook
from jobs.routing import KNOWN_NAMES, Catalogue, Resolved
from jobs.strict_json import LooseJson, place_of, read_strict
from jobs.tokens import CountTokens, estimate_request, estimate_tokens, most_tokens

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Far above any context window; a line is held in memory several times while it is read."""

MAX_CUSTOM_ID_CHARACTERS = 512
FINGERPRINT_BYTES = 16

KEPT_DECODERS = 256
"""Decoders that are kept, one for each batch at work and kind of job."""

_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class CallSize(msgspec.Struct, frozen=True, gc=False):
    """How large a call will be: its input as estimated and at most, and the bound of its output."""

    estimated_tokens: int
    most_input_tokens: int
    max_tokens: int


class JobLine(msgspec.Struct, frozen=True, gc=False):
    """A line that is a valid job.

    `request` is the line's JSON text as it was sent. `fingerprint` is the same for lines that ask
    the same of the same models, whatever their custom_id and however they are written. It covers the
    targets that the model's name stands for now, as a route may get other ones. `collapses` tells
    whether one answer may serve all of those. `calls` are the sizes of its calls, in order; none where
    its reader was not asked for them.
    """

    custom_id: str
    kind: str
    model: str
    resolved: Resolved
    request: str
    estimated_tokens: int
    fingerprint: bytes
    collapses: bool
    calls: tuple[CallSize, ...] = ()


class _KindOfLine(msgspec.Struct):
    kind: Any = None


class LineReader:
    """Reads the lines of one submission."""

    def __init__(
        self,
        defaults: JobDefaults,
        catalogue: Catalogue,
        count_tokens: CountTokens = estimate_tokens,
        *,
        prices: PriceBook | None = None,
        sizes_calls: bool = False,
        mixes_kinds: bool = True,
    ) -> None:
        """Read lines; with `prices`, which a budget needs, only those whose every target has one.

        Unless it `mixes_kinds`, every line is of the kind that the defaults name.
        """
        self._prices = prices
        self._sizes_calls = sizes_calls
        self._mixes_kinds = mixes_kinds
        self.least_nanos: int | None = None
        """The worst case of the cheapest first call up to now; None without `prices`, or without a job."""
        self._unpriced = lru_cache(maxsize=KNOWN_NAMES)(self._find_unpriced)
        self._defaults = defaults
        self._kind = KINDS[defaults.kind]
        self._decode = _decoder(defaults.kind, defaults)
        self._catalogue = catalogue
        self._count_tokens = count_tokens
        self._encode = msgspec.json.Encoder(order="deterministic").encode

    def read(self, line_number: int, raw: bytes) -> JobLine | LineFault:
        """Return the job of a line, or what is wrong with it. Blank lines are the caller's matter."""
        job = self._read(raw.removeprefix(BYTE_ORDER_MARK) if line_number == 1 else raw)
        if isinstance(job, JobLine):
            return job
        return LineFault(line_number, job.code, job.field, job.message, job.column)

    def _read(self, raw: bytes) -> JobLine | FieldFault:
        try:
            return self._job(self._kind, self._decode(raw), raw.decode())
        except _UNDECODABLE as error:
            kind = self._kind_of(raw) if self._mixes_kinds else self._kind
            if isinstance(kind, FieldFault):
                return kind
            if kind is self._kind:
                return fault_of(error, raw, kind.line_type)
        try:
            line = _decoder(kind.name, self._defaults)(raw)
            return self._job(kind, line, raw.decode())
        except _UNDECODABLE as error:
            return fault_of(error, raw, kind.line_type)

    def _kind_of(self, raw: bytes) -> Kind | FieldFault:
        """Return the kind of a line that can't be decoded as one of the default kind."""
        try:
            name = msgspec.json.decode(raw, type=_KindOfLine).kind
        except _UNDECODABLE:
            return self._kind
        if not isinstance(name, str):
            return self._kind
        return KINDS.get(name) or FieldFault("unknown_kind", "kind", expected_kinds())

    def _job(self, kind: Kind, line: Any, text: str) -> JobLine | FieldFault:
        fault = _check_custom_id(line.custom_id) or kind.check(line) or _check_strictly(text)
        if fault is not None:
            return fault
        if not line.model:
            return FieldFault(
                "missing_model", "model", "expected a model, on the line or as the batch's default"
            )
        if has_hidden(line.model):
            return FieldFault(
                "invalid_model", "model", "expected a name without control or format characters"
            )
        try:
            resolved = self._catalogue.resolve(line.model)
        except UnknownModel as error:
            return FieldFault(error.code, "model", error.message)
        if self._prices is not None and (unpriced := self._unpriced(resolved)) is not None:
            return FieldFault("unpriced_model", "model", no_price(unpriced))
        plan = kind.plan(line)
        requests = plan.requests
        if (fault := self._check_passed(resolved, requests[0])) is not None:
            return fault
        if self._prices is not None:
            self._note_cost(resolved, requests[0], self._prices)
        estimated = [estimate_request(request, self._count_tokens) for request in requests]
        canonical = self._encode((kind.name, resolved.targets, requests, plan.judged_by))
        return JobLine(
            line.custom_id,
            kind.name,
            line.model,
            resolved,
            text,
            sum(estimated),
            blake2b(canonical, digest_size=FINGERPRINT_BYTES).digest(),
            self._collapses(plan),
            tuple(map(self._size, requests, estimated)) if self._sizes_calls else (),
        )

    def _collapses(self, plan: Plan) -> bool:
        match self._defaults.collapse:
            case "auto":
                return not plan.wants_variety
            case "always":
                return True
            case "never":
                return False

    def _check_passed(self, resolved: Resolved, request: ModelRequest) -> FieldFault | None:
        """Find what of a body can't be said to a target, or not be held within a budget."""
        if request.passed is None:
            return None
        fault = self._check_mapped(resolved, request.passed)
        if fault is None and self._prices is not None:
            return self._check_bounded(request.passed)
        return fault

    def _check_mapped(self, resolved: Resolved, passed: Passed) -> FieldFault | None:
        """Find what a target can't be asked that has not the endpoint of the request."""
        if not (passed.unmapped or passed.needs):
            return None
        for target in resolved.targets:
            path = self._catalogue.untold(target.provider, passed)
            if path is not None:
                return FieldFault(
                    "unsupported_parameter",
                    path,
                    f"can't be said to {target.provider}, which does not speak "
                    f"{passed.endpoint.maker}'s {passed.endpoint}",
                )
        return None

    def _check_bounded(self, passed: Passed) -> FieldFault | None:
        """Find what may cost more than the most that is reckoned beforehand."""
        if passed.unbounded:
            return FieldFault(
                "unbounded_cost",
                passed.unbounded[0],
                "may cost more than its tokens, or nobody knows what, so no budget can hold it: leave "
                "it out, or send the line in a batch without a budget",
            )
        if passed.images and self._catalogue.max_image_tokens is None:
            return FieldFault(
                "unbounded_cost",
                passed.endpoint.place,
                "has a picture, of which nobody knows how many tokens it is billed as, so no budget can "
                "hold it: the operator may say so (`max_image_tokens` in tidemill.toml)",
            )
        return None

    def _size(self, request: ModelRequest, estimated_tokens: int) -> CallSize:
        return CallSize(estimated_tokens, self._most_tokens(request), request.most_output_tokens)

    def _most_tokens(self, request: ModelRequest) -> int:
        return most_tokens(request, self._catalogue.max_image_tokens)

    def _note_cost(self, resolved: Resolved, request: ModelRequest, prices: PriceBook) -> None:
        now, most_input_tokens = utcnow(), self._most_tokens(request)
        for target in resolved.targets:
            price = prices.price(target.provider, target.model, now)
            assert price is not None  # the line would have been refused
            worst_nanos = price.worst_case_nanos(most_input_tokens, request.most_output_tokens)
            if self.least_nanos is None or worst_nanos < self.least_nanos:
                self.least_nanos = worst_nanos

    def _find_unpriced(self, resolved: Resolved) -> str | None:
        """Return the first target without a price, as `PROVIDER/NAME`; a route may use each."""
        assert self._prices is not None  # or nobody asks
        for target in resolved.targets:
            if self._prices.price(target.provider, target.model, utcnow()) is None:
                return f"{target.provider}/{target.model}"
        return None


def rebuild(kind_name: str, request_text: str, defaults: JobDefaults) -> Any:
    """Return the line, merged with its batch's defaults, of a job that was accepted.

    It equals what the job was accepted as, and is an instance of the kind's `line_type`.

    Raises:
        InvalidSubmission: this version of the program would not accept the line any more.
    """
    try:
        return _decoder(kind_name, defaults)(request_text.encode())
    except _UNDECODABLE as error:
        raise InvalidSubmission(f"the stored line is no {kind_name} job: {error}") from error


@lru_cache(maxsize=KEPT_DECODERS)
def _decoder(kind_name: str, defaults: JobDefaults) -> Callable[[bytes], Any]:
    """Return the decoder of a kind's lines whose absent fields take the batch's defaults.

    The defaults become those of a derived struct, so decoding is merging, and costs no more.
    """
    line_type = KINDS[kind_name].line_type
    values = {
        name: value
        for name in set(defaults.__struct_fields__) - {"kind"}
        if (value := getattr(defaults, name)) is not None
    }
    for name in JSON_TEXTS & values.keys():
        values[name] = msgspec.Raw(values[name].encode())
    merged = msgspec.defstruct(
        line_type.__name__,
        [
            (field.name, field.type, values[field.name])
            for field in msgspec.structs.fields(line_type)
            if field.name in values
        ],
        bases=(line_type,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(merged).decode


def _check_custom_id(custom_id: str) -> FieldFault | None:
    if 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARACTERS and not has_hidden(custom_id):
        return None
    return FieldFault(
        "invalid_custom_id",
        "custom_id",
        f"expected 1 to {MAX_CUSTOM_ID_CHARACTERS} characters without control or format characters",
    )


def _check_strictly(text: str) -> FieldFault | None:
    """Find what the typed decoder lets pass: a key that stands twice, and NUL characters.

    No database is asked to store a NUL: PostgreSQL's texts can't.
    """
    try:
        value = read_strict(text)
    except LooseJson as error:
        return fault_of_json(error)
    # Only an escape can stand for one, and most lines have none.
    if "\\u0000" in text and (place := place_of(value, lambda found: "\0" in found)) is not None:
        return FieldFault("nul_character", place, "expected a text without NUL characters")
    return None
