"""The lies of a file of results: lines twice, missing, of strangers, cut."""

from random import Random

import orjson

from scripts.simulator.batches.shelf import Entry
from scripts.simulator.batches.ways import Ways

STRANGER = "stranger"
"""What the names of lines begin with that nobody sent."""


def spoiled(entries: list[Entry], id_field: str, ways: Ways, random: Random) -> list[Entry]:
    """Return what of a file's lines is left, and is there besides, in `ways` that lie."""
    found: list[Entry] = []
    for entry in entries:
        if ways.missing and random.random() < ways.missing:
            continue
        found.append(entry)
        if ways.doubled and random.random() < ways.doubled:
            found.insert(random.randint(0, len(found)), entry._replace(row=None))
    for number in range(ways.foreign if found else 0):
        document = orjson.loads(random.choice(found).data)
        document[id_field] = f"{STRANGER}-{number}"
        line = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
        found.insert(random.randint(0, len(found)), Entry(None, line))
    if ways.cut and found:
        last = found[-1].data
        found[-1] = Entry(None, last[: len(last) // 2])
    return found
