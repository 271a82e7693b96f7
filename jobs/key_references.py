"""Where a provider's key is: configuration names a variable or a file, and never holds a key itself."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from jobs.errors import ConfigurationError


def _check_key_reference(reference: str) -> str:
    scheme, _, rest = reference.partition(":")
    if scheme not in {"env", "file"} or not rest:
        raise ValueError("write a key as env:NAME or file:PATH, never the key itself")
    return reference


KeyReference = Annotated[str, AfterValidator(_check_key_reference)]


def read_key(reference: str) -> SecretStr:
    """Return the secret behind `env:NAME` or `file:PATH`.

    Raises:
        ConfigurationError: the variable is not set, or the file can't be read, is no text or is empty.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        value = os.environ.get(rest, "").strip()
        if not value:
            raise ConfigurationError(f"the environment variable {rest} is not set")
        return SecretStr(value)
    try:
        value = Path(rest).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"the key file {rest} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Without the cause, which shows a piece of the file.
        raise ConfigurationError(f"the key file {rest} is not a text in UTF-8") from None
    if not value:
        raise ConfigurationError(f"the key file {rest} is empty")
    return SecretStr(value)
