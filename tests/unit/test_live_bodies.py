"""The body of a live call is refused in words, whatever is wrong with it."""

import pytest

from api.live_calls import fields_of
from jobs.errors import UnreadableBody


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (
            rb'{"messages":[{"content":"a \ud800 b"}]}',
            "invalid_unicode",
            "messages[0].content: half",
        ),
        (rb'{"\udfff":1}', "invalid_unicode", "the body: half"),
        (b'{"a":"\xe9"}', "invalid_encoding", "byte 7"),
        (b'{"a":NaN}', "invalid_number", "NaN"),
        (b'\xef\xbb\xbf{"a":1}', "invalid_json", "the body"),
        (b"{oops", "invalid_json", "the body"),
        (b"[]", "wrong_type", "object"),
    ],
)
def test_a_faulty_body_is_refused_with_its_fault(body: bytes, code: str, said: str) -> None:
    with pytest.raises(UnreadableBody) as caught:
        fields_of(body)
    assert caught.value.code == code
    assert said in caught.value.message


def test_fields_are_kept_as_they_are_written() -> None:
    fields = fields_of(rb'{"a": 1.50, "b": "\ud83d\ude00"}')
    assert {name: bytes(value) for name, value in fields.items()} == {
        "a": b"1.50",
        "b": rb'"\ud83d\ude00"',
    }
