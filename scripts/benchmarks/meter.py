"""What a system's processes use: CPU time and the most memory that was seen."""

from collections.abc import Mapping
from contextlib import suppress

import psutil

SAMPLE_EVERY_S = 0.2


class Meter:
    """Watches processes by name. CPU counts from the meter's making on.

    Memory is what only the process itself uses (USS) where the system tells, else what is resident.
    """

    def __init__(self, process_ids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in process_ids.items()}
        self._cpu_began_s = {name: _cpu_s(process) for name, process in self._processes.items()}
        self._peak_bytes = dict.fromkeys(self._processes, 0)

    def sample(self) -> None:
        """Look at the memory; to be called every `SAMPLE_EVERY_S`."""
        for name, process in self._processes.items():
            self._peak_bytes[name] = max(self._peak_bytes[name], memory_bytes(process))

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each process, user and system, since the meter was made."""
        return {
            name: _cpu_s(process) - self._cpu_began_s[name]
            for name, process in self._processes.items()
        }

    def peak_bytes(self) -> dict[str, int]:
        """Return the most memory that each process was seen with."""
        return dict(self._peak_bytes)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def memory_bytes(process: psutil.Process) -> int:
    """Return the memory that only this process uses, where the system tells, else what is resident."""
    with suppress(psutil.AccessDenied):
        return int(process.memory_full_info().uss)
    return int(process.memory_info().rss)
