"""Which files the server may be told to read: none that its operator did not name."""

from pathlib import Path

import fsspec
import pytest

from api.intake.sources import source_pieces
from jobs.configuration import Configuration
from jobs.errors import NotFound, SourceNotAllowed
from jobs.sources import check_source

ALLOWED = ["s3://bucket/jobs/", "memory://box/"]


@pytest.mark.parametrize("url", ["s3://bucket/jobs/a.csv", "s3://bucket/jobs/deep/b.parquet"])
def test_what_begins_with_an_allowed_prefix_may_be_read(url: str) -> None:
    check_source(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/other/a.csv",
        "s3://bucket/jobs/",
        "s3://bucket/jobs",
        "s3://bucket/jobs/../secrets/a.csv",
        "s3://bucket/jobs/./a.csv",
        "s3://bucket/jobs//a.csv",
        "s3://bucket/jobs/%2e%2e/secrets",
        "s3://user:password@bucket/jobs/a.csv",
        "s3://bucket/jobs/a.csv?versionId=1",
        "s3://bucket/jobs/*.csv",
        "S3://bucket/jobs/a.csv",
        "simplecache::s3://bucket/jobs/a.csv",
        "s3://bucket/jobs/a.zip::file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "https://bucket/jobs/a.csv",
        "file:///etc/passwd",
        "/etc/passwd",
        "s3://bucket/jobs/a\n.csv",
        "",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(SourceNotAllowed):
        check_source(url, ALLOWED)
    with pytest.raises(SourceNotAllowed):
        check_source(url, [])


@pytest.mark.parametrize(
    "prefix", ["http://host/", "s3://bucket", "s3://b/../", "bucket/", "s3://"]
)
def test_a_prefix_that_allows_too_much_is_no_configuration(prefix: str) -> None:
    with pytest.raises(ValueError, match="must be the beginning of URLs"):
        Configuration.model_validate({"sources": {"allowed": [prefix]}})


def test_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.csv").write_text("a")
    (inside / "plain.csv").write_text("a")
    (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
    allowed = [f"{inside.as_uri()}/"]
    check_source((inside / "plain.csv").as_uri(), allowed)
    with pytest.raises(SourceNotAllowed):
        check_source((inside / "link.csv").as_uri(), allowed)


async def test_storage_is_read_in_pieces_and_what_is_not_there_is_said() -> None:
    content = bytes(range(256)) * 20_000
    fsspec.filesystem("memory").pipe_file("box/a.csv", content)
    check_source("memory://box/a.csv", ALLOWED)
    pieces = [piece async for piece in source_pieces("memory://box/a.csv")]
    assert len(pieces) > 1
    assert b"".join(pieces) == content
    with pytest.raises(NotFound):
        [piece async for piece in source_pieces("memory://box/none.csv")]
