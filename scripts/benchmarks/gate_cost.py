"""What the gate costs its Redis: the script per ask when asked in bulk, and the share of a CPU at a pace.

Runs against an embedded Valkey of its own, on a socket in a temporary folder.
"""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from rich.console import Console

from jobs.configuration import Configuration
from jobs.errors import ServiceUnavailable
from jobs.exchange import Usage
from jobs.settings import Settings
from scripts.launcher import valkey
from workers.gate.gate import Ask, ComeBack, Ending, PoolId
from workers.gate.redis_gate import RedisGate
from workers.gate.scopes import PoolPlan
from workers.gate.script import SOURCE, Order, Spoken, Wish

SIZES = (1, 10, 50, 200)
ROUNDS = 400
PROCESSES = 4
PACE_S = 2_000
SECONDS = 6.0
LIMITS = {"rpm": 600_000, "tpm": 200_000_000}
"""Wide enough that everything asked for is granted; two dimensions here and one per model."""
MODEL_LIMITS = {"rpm": 600_000}

POOL = PoolId("bench", "main")
CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            POOL.provider: {
                "protocol": "mistral",
                "base_url": "http://127.0.0.1:9",
                "pools": [
                    {
                        "limits": LIMITS,
                        "model_limits": [{"models": ["small"], "limits": MODEL_LIMITS}],
                    }
                ],
            }
        }
    }
)


@dataclass(frozen=True, slots=True)
class GateCost:
    """Microseconds of the server per ask by the number of asks in a round, and shares at a pace.

    `rounds_s` are script calls per second at that pace, `granted_s` the starts that were granted.
    """

    us_per_ask: dict[int, float]
    granted_s: float
    rounds_s: float
    server_share: float
    client_share: float


def measure_gate(say: Callable[[str], None]) -> GateCost:
    """Measure both."""
    with _own_server() as path:
        us_per_ask = {}
        for size in SIZES:
            say(f"{size} asks in a round")
            us_per_ask[size] = _script_cost_us(path, size)
        say(f"{PACE_S:,} asks/s by {PROCESSES} processes")
        return asyncio.run(_at_a_pace(path, us_per_ask))


def print_gate(output: Console, cost: GateCost) -> None:
    """Print the figures as a table in Markdown."""
    output.print("| asks in a round | us of Redis per ask |\n|---|---|")
    for size, micros in cost.us_per_ask.items():
        output.print(f"| {size} | {micros:.1f} |")
    output.print(
        f"\nAt {cost.granted_s:,.0f} asks/s from {PROCESSES} processes ({cost.rounds_s:,.0f} rounds/s): "
        f"Redis {cost.server_share:.1%} of a CPU, all the gates together {cost.client_share:.1%}"
    )


def _script_cost_us(path: Path, size: int) -> float:
    """Return the time that the server spends in the script, per ask."""
    provider = CONFIGURATION.providers[POOL.provider]
    plan = PoolPlan(POOL, provider, provider.pools[0])
    order = Order(
        process="bench",
        scopes=[Spoken(plan.scope, 0), Spoken(plan.scope_of("small"), 0)],
        wishes=[Wish(1, 3, 150, 100, 50, 150)] * size,
    )
    with redis.Redis(unix_socket_path=str(path)) as client:
        script = client.register_script(SOURCE)
        script(keys=order.keys(), args=[order.argument()])
        client.config_resetstat()
        for _ in range(ROUNDS):
            script(keys=order.keys(), args=[order.argument()])
            time.sleep(size / (LIMITS["rpm"] / 60))
        micros: float = client.info("commandstats")["cmdstat_evalsha"]["usec"]
    return micros / ROUNDS / size


async def _at_a_pace(path: Path, us_per_ask: dict[int, float]) -> GateCost:
    async def used_today(
        _pool: PoolId, _models: tuple[str, ...], _since: datetime
    ) -> tuple[int, int]:
        return 0, 0

    def client() -> Redis:
        return Redis(unix_socket_path=str(path), decode_responses=True, retry=Retry(NoBackoff(), 0))

    gates = [
        RedisGate(
            client(),
            CONFIGURATION,
            lambda _pool: True,
            used_today,
            f"bench{number}",
            longest_call_s=30.0,
        )
        for number in range(PROCESSES)
    ]
    watcher = client()
    await _ask_evenly(gates, 1.5)  # the bucket of a new scope begins empty
    await watcher.config_resetstat()
    server_began, began, cpu_began = await _cpu_s(watcher), time.perf_counter(), time.process_time()
    granted = await _ask_evenly(gates, SECONDS)
    took_s = time.perf_counter() - began
    client_s, server_s = time.process_time() - cpu_began, await _cpu_s(watcher) - server_began
    rounds = (await watcher.info("commandstats"))["cmdstat_evalsha"]["calls"]
    for gate in gates:
        await gate.close()
    await watcher.aclose()
    return GateCost(
        us_per_ask, granted / took_s, rounds / took_s, server_s / took_s, client_s / took_s
    )


async def _ask_evenly(gates: list[RedisGate], seconds: float) -> int:
    """Ask at the pace, settle each call after 100 ms; return how many were granted."""
    loop = asyncio.get_running_loop()
    granted = 0

    async def call(gate: RedisGate) -> None:
        nonlocal granted
        reply = await gate.ask(Ask(POOL.provider, "small", 100, 50, 100, "normal"), 20.0)
        if isinstance(reply, ComeBack):
            raise ServiceUnavailable(f"the gate refused: {reply.reason}")
        await asyncio.sleep(max(0.0, reply.start_at - loop.time()) + 0.1)
        granted += 1
        gate.settle(reply, Ending(sent=True, usage=Usage(100, 0, 0, 40), latency_s=0.1))

    began, sent = loop.time(), 0
    async with asyncio.TaskGroup() as calls:
        while (elapsed_s := loop.time() - began) < seconds:
            while sent < elapsed_s * PACE_S:
                calls.create_task(call(gates[sent % len(gates)]))
                sent += 1
            await asyncio.sleep(0.001)
    return granted


async def _cpu_s(client: Redis) -> float:
    cpu = await client.info("cpu")
    return float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])


@contextmanager
def _own_server() -> Iterator[Path]:
    """Run a Valkey while the measurement lasts."""
    home = Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
    settings = Settings(home=home, broker_url="", redis_url="", database_url="")
    part = valkey.server(settings)
    process = subprocess.Popen(part.argv, stdout=subprocess.DEVNULL)  # noqa: S603 - our own binary
    try:
        deadline = time.monotonic() + 10.0
        while not valkey.answers(settings.embedded_socket()):
            if time.monotonic() > deadline:
                raise ServiceUnavailable("the embedded Valkey does not start")
            time.sleep(0.05)
        yield settings.embedded_socket()
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
