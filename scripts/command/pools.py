"""`tidemill pools`: at what pace the pools run, and what blocks them until when."""

from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.pool_list import PoolTable, enqueued, pauses
from scripts.command.render import print_json, stdout


def pools(url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """Show the pools: their pace, the share of their limits that is used, what blocks them."""
    with connect(url, key) as client:
        found = client.pools()
    if as_json:
        print_json(found)
    else:
        stdout().print(PoolTable(found["data"]))
        for pause in (*pauses(found["data"]), *enqueued(found["data"])):
            stdout().print(pause, soft_wrap=True)
