"""How a file is described and read for sending."""

import io
import os
import sys
from pathlib import Path

import pytest

from scripts.command.upload import BLOCK_BYTES, STDIN, describe, open_upload

NDJSON = "application/x-ndjson"


@pytest.mark.parametrize(
    ("name", "content_type", "encoding"),
    [
        ("jobs.jsonl", NDJSON, None),
        ("jobs.ndjson", NDJSON, None),
        ("jobs.json", "application/json", None),
        ("JOBS.CSV", "text/csv", None),
        ("jobs.parquet", "application/vnd.apache.parquet", None),
        ("jobs.jsonl.gz", NDJSON, "gzip"),
        ("jobs.json.zst", "application/json", "zstd"),
        ("jobs.gz", NDJSON, "gzip"),
        ("jobs", NDJSON, None),
        ("jobs.txt", NDJSON, None),
    ],
)
def test_the_ending_tells_type_and_encoding(
    name: str, content_type: str, encoding: str | None
) -> None:
    headers = describe(name)
    assert headers["content-type"] == content_type
    assert headers.get("content-encoding") == encoding


def test_a_file_is_read_in_blocks_and_its_length_is_told(tmp_path: Path) -> None:
    content = os.urandom(2 * BLOCK_BYTES + 17)
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(content)
    with open_upload(path) as upload:
        blocks = list(upload.blocks)
    assert b"".join(blocks) == content
    assert [len(block) for block in blocks] == [BLOCK_BYTES, BLOCK_BYTES, 17]
    assert upload.size_bytes == len(content)
    assert upload.headers["content-length"] == str(len(content))


def test_stdin_has_no_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a":1}\n')))
    with open_upload(STDIN) as upload:
        assert b"".join(upload.blocks) == b'{"a":1}\n'
    assert upload.size_bytes is None
    assert "content-length" not in upload.headers
