"""`tidemill cancel`, `pause` and `resume`: what an owner may ask of a batch under way."""

from scripts.command.connection import DEFAULT_URL, BatchId, Json, Key, Url, connect
from scripts.command.render import print_json, stdout
from scripts.command.tables import batch_summary


def cancel(
    batch_id: BatchId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False
) -> None:
    """Cancel a batch: calls in flight finish, the other jobs end as cancelled."""
    _act(batch_id, "cancel", url, key, as_json=as_json)


def pause(
    batch_id: BatchId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False
) -> None:
    """Pause a batch: calls in flight finish, no other starts."""
    _act(batch_id, "pause", url, key, as_json=as_json)


def resume(
    batch_id: BatchId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False
) -> None:
    """Let a paused batch go on."""
    _act(batch_id, "resume", url, key, as_json=as_json)


def _act(batch_id: str, verb: str, url: str, key: str | None, *, as_json: bool) -> None:
    with connect(url, key) as client:
        batch = client.act(batch_id, verb)
    if as_json:
        print_json(batch)
    else:
        stdout().print(batch_summary(batch))
