"""A form with a file: however its bytes arrive, the file is the same, and nothing stays of a bad one."""

from pathlib import Path

import pytest

from api.openai.form import Form
from jobs.errors import InvalidForm, NotFound
from jobs.file_store import FileStore, blocks

BOUNDARY = "x-1"
TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'
CONTENT = b"one\r\n--x-2\r\n\r\n--x-\r\n" + bytes(range(256)) * 40

BODY = (
    b'--x-1\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--x-1\r\nContent-Disposition: form-data; name="file"; filename="a b.jsonl"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n" + CONTENT + b"\r\n--x-1--\r\n"
)


@pytest.mark.parametrize("size_bytes", [1, 2, 7, 100, 4096, len(BODY)])
def test_a_form_is_the_same_in_whatever_pieces_it_arrives(tmp_path: Path, size_bytes: int) -> None:
    store = FileStore(tmp_path / "files")
    with Form(TYPE, lambda: store.new("f")) as form:
        for start in range(0, len(BODY), size_bytes):
            form.take(BODY[start : start + size_bytes])
        file = form.finish()
        file.keep()
    assert (form.fields, form.filename) == ({"purpose": "batch"}, "a b.jsonl")
    assert file.size_bytes == len(CONTENT)
    assert b"".join(blocks(store.open("f"))) == CONTENT
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["f"]


@pytest.mark.parametrize("length", range(0, len(BODY) - 4, 397))
def test_a_form_that_is_cut_off_anywhere_leaves_nothing(tmp_path: Path, length: int) -> None:
    store = FileStore(tmp_path)

    def read() -> None:
        with Form(TYPE, lambda: store.new("f")) as form:
            form.take(BODY[:length])
            form.finish()

    with pytest.raises(InvalidForm):
        read()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound):
        store.open("f")


def test_a_second_file_is_refused(tmp_path: Path) -> None:
    part = b'--x-1\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n'
    store = FileStore(tmp_path)
    with pytest.raises(InvalidForm, match="one file"), Form(TYPE, lambda: store.new("f")) as form:
        form.take(part + part + b"--x-1--\r\n")
    assert list(tmp_path.iterdir()) == []
