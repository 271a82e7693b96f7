"""Keys are taken in turn, and one that is refused is left out while there are others."""

import pytest

from jobs.configuration import Configuration
from workers.calls import keys
from workers.calls.keys import Keyring
from workers.gate.gate import PoolId

POOL = PoolId("sim", "main")


def keyring(monkeypatch: pytest.MonkeyPatch, *values: str) -> Keyring:
    for number, value in enumerate(values):
        monkeypatch.setenv(f"KEY_{number}", value)
    references = [f"env:KEY_{number}" for number in range(len(values))]
    pool = {"name": "main", "keys": references}
    provider = {"protocol": "openai", "base_url": "http://sim.test", "pools": [pool]}
    return Keyring(Configuration.model_validate({"providers": {"sim": provider}}))


def take(ring: Keyring, count: int) -> list[str]:
    taken = [ring.key(POOL) for _ in range(count)]
    return [key.get_secret_value() for key in taken if key is not None]


def test_keys_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert take(keyring(monkeypatch, "a", "b", "c"), 4) == ["a", "b", "c", "a"]


def test_a_refused_key_is_left_out_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = keyring(monkeypatch, "a", "b", "c")
    refused = ring.key(POOL)
    assert ring.rests(POOL, refused)
    assert take(ring, 4) == ["b", "c", "b", "c"]
    monkeypatch.setattr(keys, "REST_S", -1.0)
    ring.rests(POOL, refused)
    assert set(take(ring, 3)) == {"a", "b", "c"}


def test_of_the_last_key_the_pool_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = keyring(monkeypatch, "a", "b")
    assert ring.rests(POOL, ring.key(POOL))
    assert not ring.rests(POOL, ring.key(POOL))
    assert len(take(ring, 2)) == 2  # a probe needs one


def test_the_only_key_of_a_pool_is_the_pools_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = keyring(monkeypatch, "a")
    assert not ring.rests(POOL, ring.key(POOL))


def test_a_key_that_two_references_name_is_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = keyring(monkeypatch, "a", "a")
    assert not ring.rests(POOL, ring.key(POOL))
