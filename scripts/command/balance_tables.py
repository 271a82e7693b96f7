"""The tables of `tidemill reconcile`: a batch's balance, its provider's account, what contradicts."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from scripts.command.render import JsonObject, dollars, printable, state

TOO_LARGE = "the ledger's days: the project has too many jobs to read all of its attempts"


def balance_table(found: JsonObject) -> Table:
    """Return jobs, attempts and money of a batch, a line each."""
    jobs, money = found["jobs"], found["money"]
    ended = [f"{count:,} {word}" for word, count in found["attempts"].items() if count]
    unpriced = money["unpriced_attempts"]
    return _grid(
        [
            ("batch", printable(found["batch"])),
            ("state", state(found["state"])),
            ("jobs", f"{jobs['accepted']:,} accepted, {jobs['finished']:,} finished"),
            ("waiting", f"{jobs['waiting']:,}" if jobs["waiting"] else ""),
            ("lost", _bad(jobs["lost"])),
            ("attempts", ", ".join(ended).replace("_", " ") or "none"),
            ("unknown", f"{_charged(found['unknown'])}, at the worst case"),
            ("wasted", f"{_charged(found['wasted'])}, answers that decide nothing"),
            ("bad", f"{_charged(found['bad'])}, answers that were not usable"),
            ("native batches", _natives(found.get("native") or {})),
            ("without price", f"{unpriced:,}, which the money leaves out" if unpriced else ""),
            (
                "spent",
                f"{dollars(money['batch_usd'])} by the batch, "
                f"{dollars(money['attempts_usd'])} by its attempts",
            ),
            (
                "project",
                f"{dollars(money['project_batches_usd'])} by its batches, "
                f"{dollars(money['project_ledger_usd'])} by its ledger",
            ),
            (
                "drift",
                f"{dollars(money['batch_drift_usd'])} and {dollars(money['ledger_drift_usd'])}",
            ),
            ("reserved", dollars(money["reserved_usd"])),
            ("not compared", "" if money["ledger_days_compared"] else TOO_LARGE),
        ]
    )


def _natives(native: JsonObject) -> str:
    """Return how many native batches there were; nothing where there were none."""
    if not native.get("batches"):
        return ""
    unexpected = native["unexpected_lines"]
    more = f", {unexpected:,} lines unexpected" if unexpected else ""
    return f"{native['batches']:,}{more}"


def account_table(account: JsonObject) -> Table:
    """Return what comparing with the provider's account has shown."""
    foreign, unbilled = account["foreign"], account["unbilled"]
    learned = f"{_charged(account['learned'])}, billed {dollars(account['learned_usd'])}"
    return _grid(
        [
            ("provider", f"{_charged(account['provider'])} billed for this batch"),
            ("unbilled", f"{unbilled:,} calls" if unbilled else ""),
            ("foreign", f"{_charged(foreign)}, of other batches" if foreign["attempts"] else ""),
            ("agreed", f"{account['agreed']:,} to the token and the nano-dollar"),
            ("drifted", _bad(account["drifted"], dollars(account["drift_usd"]))),
            ("learned", learned if account["learned"]["attempts"] else ""),
            ("unseen", f"{_charged(account['unseen'])}, which the account doesn't have"),
            ("in flight", f"{account['in_flight']:,}" if account["in_flight"] else ""),
            ("overcharged", _bad_sum(account["overcharged"])),
            ("unrecorded", _bad_sum(account["unrecorded"])),
            ("corrected", f"{account['corrected']:,} attempts"),
        ]
    )


def finding_table(violations: Sequence[JsonObject], findings: Sequence[JsonObject]) -> Table:
    """Return what contradicts what: of the batch as a whole, and of single calls."""
    table = Table(
        "what", Column("job", overflow="fold"), Column("why", ratio=1), box=SIMPLE, pad_edge=False
    )
    for violation in violations:
        table.add_row(Text(violation["code"], style="red"), "", printable(violation["message"]))
    for finding in findings:
        attempt = "" if finding["attempt"] is None else f" #{finding['attempt']}"
        table.add_row(
            Text(finding["code"], style="red"),
            printable(f"{finding['custom_id']}{attempt}"),
            printable(finding["message"]),
        )
    return table


def _grid(rows: Sequence[tuple[str, str | Text]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="bold"), value)
    return table


def _charged(some: JsonObject) -> str:
    return f"{some['attempts']:,}, {dollars(some['cost_usd'])}"


def _bad_sum(some: JsonObject) -> Text:
    return _bad(some["attempts"], dollars(some["cost_usd"]))


def _bad(count: int, amount: str = "") -> Text:
    """Return a count that must be zero, in red if it isn't."""
    if not count:
        return Text("0", style="green")
    return Text(f"{count:,}{', ' if amount else ''}{amount}", style="red")
