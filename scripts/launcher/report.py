"""Printing what `tidemill check` found, for people or for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.launcher.checks import Finding, Level

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


def print_table(findings: Sequence[Finding], console: Console) -> None:
    """Print one row for each finding."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for finding in findings:
        colour = _COLOURS[finding.level]
        table.add_row(Text(finding.level, colour), finding.subject, Text(finding.message))
    console.print(table)


def as_json(findings: Sequence[Finding]) -> str:
    """Return `{"ok": bool, "findings": [{"level", "subject", "message"}]}`."""
    return json.dumps(
        {
            "ok": all(finding.level is not Level.ERROR for finding in findings),
            "findings": [asdict(finding) for finding in findings],
        }
    )
