"""The local model of `tidemill up --local-model`: a server, and the provider that it is."""

import sys
from pathlib import Path

from jobs.configuration import load_configuration
from jobs.errors import ConfigurationError
from scripts.launcher.part import Part

PROVIDER = "local"
MODEL = "gemma3-270m"
CALLS_AT_ONCE = 4
"""What two cores serve without waiting longer for each call than for all of them in turn."""


def server(port: int) -> Part:
    """Return the model's server as a part, listening on loopback."""
    argv = (sys.executable, "-P", "-m", "scripts.local_model", "--port", str(port))
    return Part(name="local-model", argv=argv, stop_rank=1)


def write_configuration(source: Path, target: Path, port: int) -> None:
    """Write the configuration `source`, if it exists, plus the provider `local` to `target`.

    Raises:
        ConfigurationError: `source` can't be read, is not valid, or has a provider `local` itself.
    """
    if PROVIDER in load_configuration(source).providers:
        raise ConfigurationError(
            f"{source} has a provider {PROVIDER!r} already; rename it to use --local-model"
        )
    own = source.read_text(encoding="utf-8") if source.exists() else ""
    target.write_text(f"{own}\n{_PROVIDER.format(port=port)}", encoding="utf-8")
    load_configuration(target)


# The price is nominal, so that costs and budgets can be tried for free.
_PROVIDER = f"""\
# Written by `tidemill up --local-model` at every start.
[providers.{PROVIDER}]
protocol = "openai"
base_url = "http://127.0.0.1:{{port}}/v1"
models = ["{MODEL}"]

[[providers.{PROVIDER}.pools]]
limits = {{{{ concurrency = {CALLS_AT_ONCE} }}}}

[prices."{PROVIDER}/{MODEL}"]
input = "0.01"
output = "0.04"
"""
