"""Live calls as tests make them, by the unmodified clients of OpenAI and Anthropic."""

from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from jobs.store.batches import batches
from jobs.store.proof.balance import balance
from jobs.tables import Batch
from tests.support.system import SMALL, System

PROTOCOLS = ("openai", "anthropic", "gemini", "mistral")

MODELS = (SMALL, *(f"{protocol}/{SMALL}" for protocol in PROTOCOLS[1:]))
"""One of a provider of each protocol."""


def openai_client(system: System) -> Any:
    """Return OpenAI's client, which tries everything once."""
    return OpenAI(base_url=f"{system.url}/v1", api_key=system.key, max_retries=0)


def anthropic_client(system: System) -> Any:
    """Return Anthropic's client, which tries everything once."""
    return Anthropic(base_url=f"{system.url}/anthropic", api_key=system.key, max_retries=0)


def asked(name: str, model: str = SMALL, **fields: Any) -> dict[str, Any]:
    """Return what both clients ask; the simulator's account knows it by its name."""
    content = f"[job:{name}] Say something."
    usual = {"model": model, "max_tokens": 50}
    return {**usual, "messages": [{"role": "user", "content": content}], **fields}


def live_batch(system: System) -> Batch:
    """Return the newest batch of live calls, whose books balance."""
    with system.database() as database, database.snapshot() as session:
        found = batches.page(session, 1, before=None, limit=100)
        newest = next(batch for batch in found if batch.is_live)
        assert balance(session, newest).violations == []
        return newest
