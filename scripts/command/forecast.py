"""What the server tells of how a batch will end, in words, and afterwards how good that was."""

from rich.text import Text

from api.dashboard.words import between, duration
from scripts.command.render import JsonObject, about, local_time


def time_left(batch: JsonObject) -> str:
    """Return the time that is left: `2 to 3 min`, empty where none is told."""
    eta = batch.get("eta")
    return between(eta["low"], eta["high"]) if eta else ""


def in_all(batch: JsonObject) -> str:
    """Return what all of a batch will have cost: `$0.42 to $0.45`, empty where none is told."""
    span = batch.get("final_cost_usd")
    if not span:
        return ""
    low, high = about(span["low"]), about(span["high"])
    return f"about {low}" if low == high else f"{low} to {high}"


def ahead(batch: JsonObject) -> str:
    """Return how a batch will end, empty while nothing is told."""
    told = ((time_left(batch), "left"), (in_all(batch), "in all"))
    return ", ".join(f"{span} {what}" for span, what in told if span)


_PROSPECT_STYLES = {
    "in_time": "green",
    "kept": "green",
    "tight": "yellow",
    "late": "red",
    "missed": "red",
}


def by_deadline(batch: JsonObject) -> Text:
    """Return how a batch stands to its deadline, in the colour that it means; empty without one."""
    told = batch.get("timing")
    if not batch.get("deadline"):
        return Text("")
    parts = [local_time(batch["deadline"])]
    if told is not None:
        if told["ready_low"] is not None:
            parts.append(_ready(local_time(told["ready_low"]), local_time(told["ready_high"])))
        match told["prospect"]:
            case "kept":
                parts.append("kept")
            case "missed" if not told["late_s"]:
                parts.append("missed")
            case "missed" | "late" as prospect:
                parts.append(
                    f"{prospect} by {duration(told['late_s'])}" if told["late_s"] else prospect
                )
            case "tight":
                parts.append("it may be late")
            case _:
                pass
    style = "" if told is None else _PROSPECT_STYLES.get(told["prospect"], "")
    return Text(", ".join(parts), style=style)


def _ready(low: str, high: str) -> str:
    """Return when something is ready: times of one day, by the second where the minute is the same."""
    shown = slice(None)
    if low[:10] == high[:10]:
        shown = slice(11, 19 if low[:16] == high[:16] else 16)
    return f"ready {low[shown]} to {high[shown]}"


def how_good(batch: JsonObject) -> str:
    """Return how good the forecasts of an ended batch were, empty where there were none."""
    judged = batch.get("forecast")
    if not judged:
        return ""
    return (
        f"the time held {judged['time_held']:.0%} of {judged['looks']:,} times, "
        f"{judged['time_error']:.0%} off in the median; the cost held {judged['cost_held']:.0%}"
    )
