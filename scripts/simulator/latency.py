"""How long an answer takes: constant, evenly spread, or log-normal as real providers are."""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

Shape = Literal["constant", "uniform", "lognormal"]


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution. `middle_ms` is the constant, the mean or the median.

    `spread` is ± percent of a uniform one (0 to 100) and sigma of a log-normal one. `cap_ms` bounds
    a log-normal draw, which has no upper end of its own.
    """

    shape: Shape = "constant"
    middle_ms: float = 0.0
    spread: float = 0.0
    cap_ms: float = math.inf

    def draw_s(self, random: Random) -> float:
        """Return one latency in seconds."""
        match self.shape:
            case "constant":
                return self.middle_ms / 1000
            case "uniform":
                share = self.spread / 100
                return self.middle_ms * random.uniform(1 - share, 1 + share) / 1000
            case "lognormal":
                factor = math.exp(random.gauss(0.0, self.spread))
                return min(self.cap_ms, self.middle_ms * factor) / 1000

    def __str__(self) -> str:
        match self.shape:
            case "constant":
                return f"constant:{self.middle_ms:g}"
            case "uniform":
                return f"uniform:{self.middle_ms:g},{self.spread:g}"
            case "lognormal":
                return f"lognormal:{self.middle_ms:g},{self.spread:g},{self.cap_ms:g}"


def parse_latency(text: str) -> Latency:
    """Read `constant:MS`, `uniform:MS,PERCENT` or `lognormal:MEDIAN_MS,SIGMA[,CAP_MS]`.

    Raises:
        ValueError: another shape, a number that is none, is negative, or is beyond 100 percent.
    """
    shape, _, rest = text.partition(":")
    try:
        numbers = [float(number) for number in rest.split(",")]
    except ValueError:
        raise ValueError(f"latency {text!r}: {rest!r} is not a list of numbers") from None
    if any(math.isnan(number) or number < 0 for number in numbers):
        raise ValueError(f"latency {text!r}: numbers are zero or more")
    if math.isinf(numbers[0]):
        raise ValueError(f"latency {text!r}: an endless one is the fault 'hang'")
    match shape, numbers:
        case "constant", [milliseconds]:
            return Latency("constant", milliseconds)
        case "uniform", [milliseconds, percent] if percent <= 100:
            return Latency("uniform", milliseconds, percent)
        case "lognormal", [median_ms, sigma]:
            return Latency("lognormal", median_ms, sigma)
        case "lognormal", [median_ms, sigma, cap_ms]:
            return Latency("lognormal", median_ms, sigma, cap_ms)
        case _:
            raise ValueError(
                f"latency {text!r} is not constant:MS, uniform:MS,PERCENT or "
                "lognormal:MEDIAN_MS,SIGMA[,CAP_MS]"
            )
