"""Whether anybody is told of traces; how, is in `open_telemetry`."""

from jobs.errors import ConfigurationError
from jobs.spans import Tracing


def open_tracing(share: float, part: str) -> Tracing | None:
    """Return where the spans of a process go, by OpenTelemetry's own variables; None for a share of 0.

    Raises:
        ConfigurationError: the extra `otel` is not installed.
    """
    if share <= 0:
        return None
    try:
        # Nothing of it is imported by who doesn't want it.
        from jobs.open_telemetry import exported  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "TIDEMILL_TRACES needs the extra `otel`: pip install 'tidemill[otel]'"
        ) from error
    return exported(share, part)
