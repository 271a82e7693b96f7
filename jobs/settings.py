"""What this process is told by its environment: where things are. What it may call is in `configuration`.

Nothing is read on import; an entry point calls `Settings()` once and passes it on.
"""

import hashlib
import os
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

MAX_SOCKET_PATH_BYTES = 100
"""`sun_path` holds 108 bytes on Linux and 104 on macOS, with the final zero."""


class TokenCounting(StrEnum):
    """How a submission's tokens are counted: by the bytes, or exactly, by OpenAI's vocabulary."""

    HEURISTIC = "heuristic"
    BPE = "bpe"


LogLevel = Annotated[
    Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"],
    BeforeValidator(lambda text: text.upper() if isinstance(text, str) else text),
]


def with_driver(address: str) -> str:
    """Return a database's address as SQLAlchemy needs it, with the driver that this project uses."""
    scheme, _, rest = address.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else address


class Settings(BaseSettings):
    """The `TIDEMILL_*` variables.

    The addresses default to one machine: SQLite under `home` and the embedded Valkey that
    `tidemill up` starts. Nothing else in the code asks which it is.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True, extra="ignore")

    home: Path = Path(".tidemill")
    config: Path = Path("tidemill.toml")
    pipelines: Path | None = Field(
        default=None,
        description="the folder of pipelines' files; by default `pipelines` beside the configuration",
    )
    database_url: str = ""
    broker_url: str = ""
    redis_url: str = ""
    allow_open_redis: bool = Field(
        default=False,
        description="use a Redis of another machine that asks for no password",
    )

    max_in_flight: PositiveInt = Field(
        default=1000,
        description="calls in flight per worker process; each takes a file descriptor and some 30 KB",
    )
    call_deadline_s: PositiveFloat = Field(
        default=600.0,
        allow_inf_nan=False,
        description="total time of one call; the providers' own SDKs give up after 600 s",
    )
    http_client: Literal["aiohttp", "pyreqwest"] = Field(
        default="aiohttp",
        description="pyreqwest (the extra `fast`) takes a third less CPU per call",
    )
    live_wait_s: PositiveFloat = Field(
        default=30.0,
        allow_inf_nan=False,
        description="how long a live call may wait for a start, a budget or another try altogether",
    )
    drain_grace_s: PositiveFloat = Field(
        default=25.0,
        allow_inf_nan=False,
        description="how long calls in flight may finish after SIGTERM; below a container's usual 30 s",
    )
    max_attempts: PositiveInt = Field(
        default=5, description="counted attempts of a job before it fails"
    )
    max_jobs_per_batch: PositiveInt = 1_000_000
    max_upload_bytes: PositiveInt = Field(
        default=10 << 30,
        description="of a submission, unpacked: a million jobs of 10 KB",
    )
    slice_size: PositiveInt = Field(
        default=100,
        description="jobs per slice; the queue costs nothing from 50 on, and beyond 100 nothing is won",
    )
    token_counting: TokenCounting = Field(
        default=TokenCounting.HEURISTIC,
        description="`bpe` needs the extra `exact-tokens`, and 50 us for a prompt of 1,000 characters",
    )
    log_level: LogLevel = "INFO"
    log_format: Literal["text", "json"] = Field(
        default="text", description="json: an object a line, for machines"
    )
    webhooks_to_private: bool = Field(
        default=False,
        description="let webhooks lead to private addresses, and to plain HTTP",
    )
    flower_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="where the dashboard's link to Flower leads; there is none if empty",
    )
    metrics_address: str = Field(
        default="",
        pattern=r"^([^:\s]+:[0-9]{1,5})?$",
        description="HOST:PORT at which a worker and a beat serve /metrics; nowhere if empty",
    )

    traces: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="share of the jobs that OpenTelemetry is told of; needs the extra `otel`",
    )

    def pipelines_folder(self) -> Path:
        """Where pipelines' files are. Relative paths in them are those of the folder around it."""
        return (self.pipelines or self.config.parent / "pipelines").resolve()

    def metrics_host_and_port(self) -> tuple[str, int] | None:
        """Where a worker or a beat serves its metrics; None for nowhere."""
        host, _, port = self.metrics_address.rpartition(":")
        return (host, int(port)) if host else None

    def resolved_database_url(self) -> str:
        """The SQLAlchemy address of the database, with the driver that this project uses."""
        if not self.database_url:
            return f"sqlite:///{self.home.resolve() / 'tidemill.db'}"
        return with_driver(self.database_url)

    def resolved_broker_url(self) -> str:
        """The broker's address: the embedded server's socket if none is configured."""
        return self.broker_url or f"redis+socket://{self.embedded_socket()}"

    def resolved_redis_url(self) -> str:
        """The gate's Redis: its own address, else the broker if that is a Redis, else the embedded one."""
        if self.redis_url:
            return self.redis_url
        if self.broker_url.startswith(("redis://", "rediss://")):
            return self.broker_url
        if self.broker_url.startswith("redis+socket://"):
            return "unix://" + self.broker_url.removeprefix("redis+socket://")
        return f"unix://{self.embedded_socket()}"

    def files_folder(self) -> Path:
        """Where uploaded files are; every API process must see the same folder."""
        return self.home.resolve() / "files"

    def spool_folder(self) -> Path:
        """Where a process keeps what must be whole before it is read."""
        return self.home.resolve() / "spool"

    def embedded_socket(self) -> Path:
        """Where the embedded server listens; a socket in a private folder needs no port and no password.

        An address of a socket holds some 100 bytes, so a home with a longer path gets a folder of its
        own among the temporary files.
        """
        path = self.home.resolve() / "valkey" / "valkey.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        label = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"tidemill-{os.getuid()}-{label}" / "valkey.sock"
