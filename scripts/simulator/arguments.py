"""The command line of the simulator."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from scripts.simulator.batches.ways import Ways, changed, parse_ways
from scripts.simulator.calls import FailureKind
from scripts.simulator.faults import Place, parse_fault
from scripts.simulator.latency import parse_latency
from scripts.simulator.limits import parse_limit
from scripts.simulator.options import SimulatorOptions, parse_output_tokens
from scripts.simulator.prices import DEFAULT_PRICES, parse_price
from scripts.simulator.troubles import Trouble

T = TypeVar("T")


def parse_arguments(argv: Sequence[str]) -> SimulatorOptions:
    """Return the options that `argv` (without the program's name) asks for.

    Raises:
        SystemExit: an argument can't be; the reason is on stderr.
    """
    parser = _parser()
    words = vars(parser.parse_args(argv))
    words["limits"] = tuple(words["limits"])
    words["faults"] = tuple(words["faults"])
    words["prices"] = DEFAULT_PRICES | dict(words["prices"])
    given = {"takes_s": words.pop("batch_s"), "stall": words.pop("batch_stall")}
    try:
        set_ones = {name: value for name, value in given.items() if value is not None}
        words["batches"] = changed(words["batches"], set_ones)
        return SimulatorOptions(**words)
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    default = SimulatorOptions()
    parser = argparse.ArgumentParser(
        prog="tidemill simulate",
        description="Four LLM providers on loopback, with limits, faults and a ledger.",
    )
    add = parser.add_argument
    add("--host", default=default.host, help="a loopback address")
    add("--port", type=int, default=default.port, help="0 is any free one")
    add("--seed", type=int, default=default.seed, help="decides latencies and faults")
    add(
        "--latency",
        type=_word(parse_latency),
        default=default.latency,
        help="constant:MS, uniform:MS,PERCENT or lognormal:MEDIAN_MS,SIGMA[,CAP_MS]",
    )
    add(
        "--output-tokens",
        type=_word(parse_output_tokens),
        default=default.output_tokens,
        metavar="N|LEAST-MOST",
        help="how long answers are",
    )
    add(
        "--limit",
        dest="limits",
        type=_word(parse_limit),
        action="append",
        default=[],
        metavar="[PROTOCOL[/MODEL]]:NAME=VALUE,…",
        help="rps, rpm, rph, rpd, tpm, itpm, otpm, tpd, concurrency, queue_above, per, burst_s, "
        "start, resets_in_s, hint, headers, header_factor, foreign_rps, foreign_tps; repeatable",
    )
    add(
        "--fault",
        dest="faults",
        type=_word(parse_fault),
        action="append",
        default=[],
        metavar="KIND[:NAME=VALUE,…]",
        help="probability, told (of requests that complain of an answer), times, protocol, model, key, "
        "wait_s, delay_s, at (places, with | between them), done (what was asked for is done all the "
        "same); kinds: " + ", ".join((*FailureKind, *Trouble)) + "; places: " + ", ".join(Place),
    )
    add(
        "--batch",
        dest="batches",
        type=_word(parse_ways),
        default=default.batches,
        metavar="NAME=VALUE,…",
        help="how batches go: " + ", ".join(Ways.__struct_fields__),
    )
    add("--batch-s", type=float, metavar="S", help="how long a batch takes: --batch takes_s=S")
    add(
        "--batch-stall", type=float, metavar="SHARE", help="it gets no further: --batch stall=SHARE"
    )
    add(
        "--price",
        dest="prices",
        type=_word(parse_price),
        action="append",
        default=[],
        metavar="MODEL=INPUT/OUTPUT[/CACHED[/WRITE]]",
        help="in dollars per million tokens; repeatable",
    )
    add("--cached-percent", type=_word(_percent), default=0, help="of long prompts' input")
    add("--prompt-caches", action="store_true", help="cache what prompts begin with")
    add("--reasoning-percent", type=_word(_percent), default=0, help="of the output")
    add("--ledger", type=Path, metavar="FILE", help="append each closed row as a JSON line")
    add("--fsync", action="store_true", help="force the ledger's file to the disk")
    return parser


def _percent(text: str) -> int:
    percent = int(text)
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is not a percentage")
    return percent


def _word(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show a parser's own words, which it does for this one kind of error only."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
