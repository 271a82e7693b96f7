"""A worker that dies of the jobs whose prompt says so, as of an answer that eats all memory."""

import os
import signal
from typing import Any

from scripts.command.application import main
from workers.calls.calls import Caller

DEADLY = "[deadly]"

_call = Caller.call


async def _die_or_call(caller: Caller, provider: Any, key: Any, model: str, request: Any) -> Any:
    if any(DEADLY in str(message) for message in request.messages):
        os.kill(os.getpid(), signal.SIGKILL)
    return await _call(caller, provider, key, model, request)


if __name__ == "__main__":
    Caller.call = _die_or_call  # type: ignore[assignment, method-assign]
    main()
