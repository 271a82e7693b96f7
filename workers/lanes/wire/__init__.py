"""The providers' batch APIs as they are seen from here: one file for each, one interface for all.

`lane_of` is the only list of them.
"""

from jobs.configuration import ProtocolName, Provider
from workers.lanes.wire.anthropic import AnthropicBatches
from workers.lanes.wire.gemini import GeminiBatches
from workers.lanes.wire.http import LaneHttp
from workers.lanes.wire.mistral import MistralBatches
from workers.lanes.wire.native import (
    End,
    LaneShape,
    NativeBatches,
    NativeLine,
    Order,
    Remote,
    Traces,
    may_have_created,
)
from workers.lanes.wire.openai import OpenAIBatches

__all__ = [
    "End",
    "LaneHttp",
    "LaneShape",
    "NativeBatches",
    "NativeLine",
    "Order",
    "Remote",
    "Traces",
    "lane_of",
    "may_have_created",
]


def lane_of(provider: Provider, http: LaneHttp) -> NativeBatches | None:
    """Return what speaks this provider's batch API; None where none is configured, or known to be."""
    if provider.lane is None:
        return None
    match provider.protocol:
        case ProtocolName.OPENAI:
            return OpenAIBatches(provider, http)
        case ProtocolName.ANTHROPIC:
            return AnthropicBatches(provider, http)
        case ProtocolName.GEMINI:
            return GeminiBatches(provider, http)
        case ProtocolName.MISTRAL:
            return MistralBatches(provider, http)
