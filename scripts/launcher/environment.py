"""What a process does first: keep to itself, read its environment, write its log, find its launcher."""

import logging
import os
import resource

from pydantic import ValidationError

from jobs.errors import ConfigurationError
from jobs.redis_safety import require_safe_redis
from jobs.settings import Settings
from scripts.launcher.arenas import share_freed_memory
from scripts.launcher.full_disk import outlive_full_disk
from scripts.launcher.json_log import JsonLog
from scripts.launcher.mounts import require_locks
from scripts.launcher.outlet import unblock_output
from scripts.launcher.parent import follow_launcher


def read_settings() -> Settings:
    """Return the settings of this process's environment.

    Raises:
        ConfigurationError: a variable has a value that can't be; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(
            f"TIDEMILL_{'.'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(faults) from error


def keep_to_itself() -> None:
    """Let nobody else read the files that this process and its children make, or what they hold.

    Databases, logs and the broker's file have prompts, answers or the hashes of keys in them, and a
    core dump has the providers' keys.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _log_handler(settings: Settings) -> logging.Handler:
    handler = logging.StreamHandler()
    readable = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLog() if settings.log_format == "json" else readable)
    return handler


def begin_part() -> Settings:
    """Return the settings of a long-running part, after setting up its log on standard error.

    Raises:
        ConfigurationError: a variable has a value that can't be, or a Redis is not fit for use.
    """
    keep_to_itself()
    share_freed_memory()
    unblock_output()
    outlive_full_disk()
    settings = read_settings()
    logging.basicConfig(level=settings.log_level, handlers=[_log_handler(settings)])
    # Each look at the schema would be two lines.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    follow_launcher(os.environ)
    require_locks(settings.resolved_database_url())
    require_safe_redis(settings)
    return settings
