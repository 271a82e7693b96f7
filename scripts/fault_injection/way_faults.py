"""Faults on the way: a provider in trouble, a link that carries badly."""

import asyncio
import time
from typing import Any

from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.proxy import Behaviour, Mode, behaving
from scripts.fault_injection.rig import Peer
from scripts.fault_injection.scene import Scene

TROUBLES: tuple[tuple[str, dict[str, object]], ...] = (
    ("hang", {}),
    ("reset", {}),
    ("close", {}),
    ("cut", {}),
    ("html200", {}),
    ("badjson", {}),
    ("usage_missing", {}),
    ("usage_absurd", {}),
    ("usage_negative", {}),
    ("drip", {"delay_s": 0.2}),
    ("slow", {"delay_s": 3.0}),
    ("429", {"wait_s": 1.0}),
    ("500", {}),
    ("503", {}),
    ("529", {}),
)
"""The provider's: a fault of the simulator, and its figures."""

HITS_AT_MOST = 40
HIT_SHARE = 0.5
"""Of the calls while the provider is in trouble: the others are answered."""


async def trouble_provider(scene: Scene) -> Strike | None:
    """Let the provider treat some of its calls badly for a while."""
    trouble, more = scene.random.choice(TROUBLES)
    with scene.hold(Peer.PROVIDER) as is_mine:
        if not is_mine:
            return None
        began_at = time.time()
        fault = {"kind": trouble, "probability": HIT_SHARE, "times": HITS_AT_MOST, **more}
        _change_provider(scene, {"faults": [fault]})
        await asyncio.sleep(scene.random.uniform(2.0, 4.0))
        left = _change_provider(scene, {})["faults"]
        _change_provider(scene, {"faults": []})
        hits = HITS_AT_MOST - sum(one["times"] for one in left)
        return Strike(Kind.PROVIDER, trouble, began_at, time.time(), hits, hits)


def _change_provider(scene: Scene, change: dict[str, object]) -> dict[str, Any]:
    reply = scene.rig.provider.client.post("/_sim/faults", json=change)
    in_force: dict[str, Any] = reply.raise_for_status().json()
    return in_force


async def disturb_link(scene: Scene) -> Strike | None:
    """Let one link of one part behave badly for a while."""
    (part, peer), link = scene.random.choice(list(scene.rig.links.items()))
    behaviour = Behaviour(
        scene.random.choice([mode for mode in Mode if mode is not Mode.WELL]),
        delay_s=scene.random.uniform(0.05, 1.0),
        after_bytes=scene.random.choice((0, 1, 40, 300, 2000)),
    )
    with scene.hold(part) as is_mine:
        if not is_mine:
            return None
        began_at = time.time()
        async with behaving([link], behaviour):
            await asyncio.sleep(scene.random.uniform(2.0, 4.0))
            met = link.met
        lost = met if peer is Peer.PROVIDER else 0
        what = f"{behaviour.mode} between {part} and {peer}"
        return Strike(Kind.WIRE, what, began_at, time.time(), met, lost)
