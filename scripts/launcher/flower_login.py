"""Who may look at Flower. There is always a password, also where nobody chose one."""

import secrets

from jobs.errors import ConfigurationError
from jobs.settings import Settings
from scripts.launcher.home import make_private_folder, stored_secret

AUTH_VARIABLE = "TIDEMILL_FLOWER_AUTH"
PASSWORD_FILE = "flower-password"  # noqa: S105 - a file's name
USER = "tidemill"


def credentials(settings: Settings, configured: str | None) -> str:
    """Return `user:password`: what is configured, else ours with a password kept in the home.

    Raises:
        ConfigurationError: what is configured is not `user:password`.
    """
    if configured is None:
        path = make_private_folder(settings.home) / PASSWORD_FILE
        return f"{USER}:{stored_secret(path, lambda: secrets.token_urlsafe(18))}"
    require_login(configured)
    return configured


def require_login(configured: str) -> None:
    """Raise ConfigurationError if what is configured is not `user:password`."""
    user, colon, password = configured.partition(":")
    if not (user and colon and password):
        raise ConfigurationError(f"{AUTH_VARIABLE} must be user:password; Flower is never open")
