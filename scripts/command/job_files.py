"""What `tidemill submit` was told to send: files of this machine, or one that the server reads itself."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import typer

from api.formats import MEDIA_TYPES, Format
from scripts.command.sending import readable
from scripts.command.several import SeveralFiles
from tidemill.upload import STDIN, Upload, open_upload


@dataclass(frozen=True, slots=True)
class JobFiles:
    """Files that are one submission; with a `url` there are none here.

    `content_type` says what they are, None for what their names say.
    """

    paths: tuple[Path, ...]
    url: str | None
    content_type: str | None

    @classmethod
    def of(cls, named: Sequence[str], form: Format | None) -> Self:
        """Return what is named, each by its path, by a pattern such as `parts/*.csv`, or by a URL.

        Raises:
            typer.BadParameter: nothing matches a pattern; or stdin, or a URL, is one of several.
        """
        content_type = None if form is None else MEDIA_TYPES[form]
        urls = [name for name in named if "://" in name]
        paths = tuple(path for name in named if name not in urls for path in _matches(name))
        if len(urls) + len(paths) > 1 and (urls or STDIN in paths):
            raise typer.BadParameter("stdin, or a file that the server reads, is sent alone")
        return cls(paths, urls[0] if urls else None, content_type)

    @property
    def first(self) -> Path:
        """What is said of them all in messages, and in the name of a sample."""
        return self.paths[0] if self.url is None else Path(self.url)

    @property
    def query(self) -> dict[str, str]:
        """What a submission says of them."""
        return {} if self.url is None else {"from_url": self.url}

    @contextmanager
    def opened(self, query: Mapping[str, str]) -> Iterator[Upload]:
        """Open them; they may be sent more than once. The query is the submission's.

        Raises:
            typer.BadParameter: one can't be read.
        """
        if self.url is not None:
            headers = {"content-length": "0"}
            headers |= {} if self.content_type is None else {"content-type": self.content_type}
            yield Upload(lambda: iter(()), headers, 0)
            return
        if len(self.paths) > 1:
            yield SeveralFiles(self.paths, self.content_type, query).upload()
            return
        with ExitStack() as stack:
            with readable(self.first):
                upload = stack.enter_context(open_upload(self.first, self.content_type))
            yield upload


def _matches(name: str) -> Sequence[Path]:
    if not glob.has_magic(name) or Path(name).exists():
        return [Path(name)]
    if found := sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - a pattern may be absolute
        return [Path(path) for path in found]
    raise typer.BadParameter(f"no file matches {name!r}")
