"""Reading what comes in: a file that is sent as a form, the lines of one, and the request in a line."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from scripts.simulator.batches.form import Line
from scripts.simulator.calls import Rejected
from scripts.simulator.dialects import Dialect
from scripts.simulator.requests import Request

IN_MEMORY_BYTES = 1 << 30


class Upload(NamedTuple):
    """What a form had: its file, and its other fields."""

    name: str
    data: bytes
    fields: dict[str, str]


def read_upload(request: Request) -> Upload:
    """Return the file in a form.

    Raises:
        Rejected: no form, or none with a file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    fields: dict[str, str] = {}
    files: list[File] = []

    def on_field(field: Field) -> None:
        fields[(field.field_name or b"").decode()] = (field.value or b"").decode()

    try:
        parser = FormParser(
            *(kind.decode(), on_field, files.append),
            boundary=options.get(b"boundary"),
            config={"MAX_MEMORY_FILE_SIZE": IN_MEMORY_BYTES},
        )
        parser.write(request.body)
        parser.finalize()
    except FormParserError as error:
        raise Rejected(f"The form can't be read: {error}") from None
    if not files:
        raise Rejected("'file' is a required property")
    (file,) = files[:1]
    file.file_object.seek(0)
    return Upload((file.file_name or b"upload").decode(), file.file_object.read(), fields)


def lines_of(
    data: bytes, decode: Callable[[bytes], Any]
) -> Iterator[tuple[int, Any, msgspec.DecodeError | None]]:
    """Yield each line that is not blank: its number from 1, what it is, and why it isn't anything."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, decode(line), None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield number, None, msgspec.DecodeError(str(error))


def read_line(
    custom_id: str, body: bytes, dialect: Dialect, model: str = "", version: str = "-"
) -> Line:
    """Return a line, with its call or with the reason why its request can't be run."""
    try:
        call = dialect.read(body, model, version)
        if call.is_streamed:
            raise Rejected("Streaming is not supported in batches.")
    except Rejected as rejected:
        return Line(custom_id, None, rejected.failure)
    return Line(custom_id, call)
