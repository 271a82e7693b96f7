"""What a body asks of other formats by the way of chat completions, whose words for it are read already."""

import msgspec

from jobs.exchange import ModelRequest, Need
from jobs.kinds.chat.mapping import reread


def through_chat(request: ModelRequest) -> ModelRequest:
    """Return a request with the tools and turns that its body has as a chat completion.

    The same where it can't be one, or where the formats that have tools can't be told all of it even so.
    """
    passed = request.passed
    if passed is None or passed.in_chat is None:
        return request
    read = reread(passed.in_chat, request.max_tokens)
    assert read.passed is not None  # of a body it always is
    if read.passed.unmapped:
        return request
    abilities = dict.fromkeys(need.ability for need in read.passed.needs)
    passed = msgspec.structs.replace(
        passed,
        unmapped=(),
        needs=tuple(Need(ability, passed.unmapped[0]) for ability in abilities),
        beside=read.passed.beside,
        foreign_tokens=read.passed.foreign_tokens,
    )
    return msgspec.structs.replace(
        request, messages=read.messages, system=read.system, tools=read.tools, passed=passed
    )
