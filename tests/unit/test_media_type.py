"""A Content-Type is read with its charset: text in another one would be read as what it isn't."""

import pytest

from api.media_type import media_type
from jobs.errors import UnsupportedMedia


@pytest.mark.parametrize(
    "parameters",
    ["", ";", "; charset=utf-8", ';charset="UTF-8" ; x=1', "; charset=US-ASCII", "; x"],
)
def test_a_type_is_taken_alone_where_its_text_is_utf_8(parameters: str) -> None:
    assert media_type(f" Application/JSON {parameters}") == "application/json"


@pytest.mark.parametrize(
    "charset", ["utf-16", "UTF-16LE", "latin1", '"iso-8859-1"', "", "x" * 9999]
)
def test_another_charset_is_refused_by_its_name(charset: str) -> None:
    with pytest.raises(UnsupportedMedia, match="expected utf-8") as raised:
        media_type(f"application/x-ndjson; x=1; Charset={charset}")
    assert len(raised.value.message) < 100
