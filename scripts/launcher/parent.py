"""A child does not outlive its launcher, however that ends: two ways, by what the system offers.

Linux sends the child a signal when its parent dies, which is arranged before the child's program
starts and so works for any program. Elsewhere our own parts watch who their parent is.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping

LAUNCHER_PID_VARIABLE = "TIDEMILL_LAUNCHER_PID"
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.5


def bound_to_this_process() -> Callable[[], None] | None:
    """Return what a new child must run before its program, None where there is no such thing.

    The signal is SIGTERM: calls in flight were paid for, and are finished and recorded also when
    the launcher was killed. Children must be started from the main thread, for it is a thread that
    the kernel watches.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    launcher_pid = os.getpid()

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != launcher_pid:  # it died before it could be watched
            os._exit(1)

    return bind


def follow_launcher(environment: Mapping[str, str]) -> None:
    """Send this process SIGTERM once the launcher that is named in `environment` is gone."""
    launcher_pid = environment.get(LAUNCHER_PID_VARIABLE)
    if launcher_pid is not None:
        watcher = threading.Thread(target=_watch, args=(int(launcher_pid),), daemon=True)
        watcher.start()


def _watch(launcher_pid: int) -> None:
    while os.getppid() == launcher_pid:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
