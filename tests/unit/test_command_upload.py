"""How a file is described and read for sending."""

import io
import os
import sys
from itertools import islice
from pathlib import Path

import pytest

from tidemill.upload import BLOCK_BYTES, STDIN, describe, open_upload

NDJSON = "application/x-ndjson"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("jobs.jsonl", NDJSON),
        ("jobs.ndjson", NDJSON),
        ("JOBS.JSON", "application/json"),
        ("jobs", NDJSON),
        ("jobs.txt", NDJSON),
    ],
)
def test_the_ending_tells_the_type(name: str, content_type: str) -> None:
    assert describe(name) == {"content-type": content_type}


@pytest.mark.parametrize(
    ("name", "content_type", "encoding"),
    [
        ("jobs.jsonl.gz", NDJSON, "gzip"),
        ("jobs.gz", NDJSON, "gzip"),
        ("Jobs.Json.ZST", "application/json", "zstd"),
    ],
)
def test_a_packed_file_is_sent_as_it_is(name: str, content_type: str, encoding: str) -> None:
    assert describe(name) == {"content-type": content_type, "content-encoding": encoding}


def test_a_file_is_read_in_blocks_and_its_length_is_told(tmp_path: Path) -> None:
    content = os.urandom(2 * BLOCK_BYTES + 17)
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(content)
    with open_upload(path) as upload:
        blocks, again = list(upload.blocks()), list(upload.blocks())
    assert b"".join(blocks) == b"".join(again) == content
    assert [len(block) for block in blocks] == [BLOCK_BYTES, BLOCK_BYTES, 17]
    assert upload.size_bytes == len(content)
    assert upload.headers["content-length"] == str(len(content))


def test_stdin_has_no_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a":1}\n')))
    with open_upload(STDIN) as upload:
        assert b"".join(upload.blocks()) == b'{"a":1}\n'
    assert upload.size_bytes is None
    assert "content-length" not in upload.headers


@pytest.mark.parametrize("sent_blocks", [0, 1, 2, 3])
def test_a_pipe_is_sent_again_from_its_start_however_much_of_it_was_read(
    sent_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(2 * BLOCK_BYTES + 17)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with open_upload(STDIN) as upload:
        sent = b"".join(islice(upload.blocks(), sent_blocks))
        assert content.startswith(sent)
        for _ in range(2):
            assert b"".join(upload.blocks()) == content


@pytest.mark.parametrize(
    ("start", "encoding"), [(b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"{", None)]
)
def test_what_has_no_name_that_says_so_is_known_to_be_packed_by_its_beginning(
    start: bytes, encoding: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = start + b" and the rest"
    path = tmp_path / "jobs.csv"
    path.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    for file in (STDIN, path):
        with open_upload(file, "text/csv") as upload:
            assert b"".join(upload.blocks()) == content
        assert upload.headers.get("content-encoding") == encoding
        assert upload.headers["content-type"] == "text/csv"
