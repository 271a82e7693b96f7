"""What the server tells of how a batch will end, in words, and afterwards how good that was."""

from api.dashboard.words import between
from scripts.command.render import JsonObject, about


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


def how_good(batch: JsonObject) -> str:
    """Return how good the forecasts of an ended batch were, empty where there were none."""
    judged = batch.get("forecast")
    if not judged:
        return ""
    return (
        f"the time held {judged['time_held']:.0%} of {judged['looks']:,} times, "
        f"{judged['time_error']:.0%} off in the median; the cost held {judged['cost_held']:.0%}"
    )
