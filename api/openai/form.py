"""A form with a file in it, parsed while it arrives: the file's bytes go to storage, never to memory."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jobs.errors import InvalidForm, UnsupportedMedia
from jobs.file_store import NewFile

FILE = "file"
"""The part whose bytes are a file."""

MAX_FIELDS = 20
MAX_FIELD_BYTES = 4096
"""Of a part that is no file, and of the headers of any."""


class Form:
    """One form on its way in; `fields` are its texts. Not thread-safe; `take` blocks on the disk."""

    def __init__(self, content_type: str, new_file: Callable[[], NewFile]) -> None:
        """Begin; `new_file` is called when the file's part begins.

        Raises:
            UnsupportedMedia: the content-type is not that of such a form.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMedia("expected a body of content-type multipart/form-data")
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.file: NewFile | None = None
        self._new_file = new_file
        self._name = ""
        self._value = bytearray()
        self._header = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_header,
                    "on_header_value": self._take_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._name_part,
                    "on_part_data": self._take_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InvalidForm(f"the form's boundary can't be used: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.file is not None:
            self.file.__exit__(kind, error, traceback)

    def take(self, block: bytes) -> None:
        """Read the next bytes of the body.

        Raises:
            InvalidForm: it is no such form, or it has more or longer fields than one has.
            StorageFull: there is no room for the file.
        """
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise InvalidForm(f"the body can't be read as a form: {error}") from None

    def finish(self) -> NewFile:
        """Return the file, whose bytes are all written, once the body has ended.

        Raises:
            InvalidForm: the body was cut off, or there is no file in it.
        """
        if not self._ended:
            raise InvalidForm("the form is cut off")
        if self.file is None:
            raise InvalidForm(f"there is no part `{FILE}` with a file")
        return self.file

    def _begin_part(self) -> None:
        self._name, self._disposition = "", b""
        self._value.clear()

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._extend(self._header, data[start:end])

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._extend(self._header_value, data[start:end])

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header.clear()
        self._header_value.clear()

    def _name_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._name:
            raise InvalidForm("a part of the form has no name")
        if self._name in self.fields or len(self.fields) >= MAX_FIELDS:
            raise InvalidForm("the form has a part twice, or too many")
        if self._name == FILE:
            if self.file is not None:
                raise InvalidForm("the form has more than one file")
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self.file = self._new_file()

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            assert self.file is not None
            self.file.write(data[start:end])
        else:
            self._extend(self._value, data[start:end])

    def _end_part(self) -> None:
        if self._name != FILE:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True

    def _extend(self, kept: bytearray, data: bytes) -> None:
        kept += data
        if len(kept) > MAX_FIELD_BYTES:
            raise InvalidForm(f"a field of the form has more than {MAX_FIELD_BYTES:,} bytes")
