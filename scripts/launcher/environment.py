"""What a process does first: read its environment, write its log, follow its launcher."""

import logging
import os

from pydantic import ValidationError

from jobs.errors import ConfigurationError
from jobs.settings import Settings
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


def begin_part() -> Settings:
    """Return the settings of a long-running part, after setting up its log on standard error.

    Raises:
        ConfigurationError: a variable has a value that can't be.
    """
    settings = read_settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Each look at the schema would be two lines.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    follow_launcher(os.environ)
    return settings
