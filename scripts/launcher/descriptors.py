"""File descriptors: each call in flight holds one, so the process's limit bounds the calls."""

import resource

from jobs.errors import ConfigurationError

USABLE_PERCENT = 80
"""The rest is for the broker, the database, logs and connections that are being closed."""

ENOUGH = 65_536
"""What is asked for where the system's hard limit is "unlimited", which some don't grant."""


def raise_limit() -> int:
    """Raise this process's soft limit to its hard one, as far as granted, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ENOUGH if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        return soft
    return wanted


def check_enough(max_in_flight: int, limit: int) -> None:
    """Return if so many calls in flight fit into a limit of so many descriptors.

    Raises:
        ConfigurationError: they don't; the message has both numbers.
    """
    usable = limit * USABLE_PERCENT // 100
    if max_in_flight > usable:
        raise ConfigurationError(
            f"TIDEMILL_MAX_IN_FLIGHT is {max_in_flight}, but a process may open {limit} files, "
            f"{USABLE_PERCENT} % of them for calls: lower it to {usable} or raise `ulimit -n`"
        )
