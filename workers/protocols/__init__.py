"""The wire formats that workers speak; `protocol_of` is the only list of them."""

from jobs.configuration import ProtocolName, Provider
from workers.protocols.anthropic import Anthropic
from workers.protocols.gemini import Gemini
from workers.protocols.mistral import Mistral
from workers.protocols.openai import OpenAI
from workers.protocols.protocol import Protocol, WireRequest

__all__ = ["Protocol", "WireRequest", "protocol_of"]


def protocol_of(provider: Provider) -> Protocol:
    """Return what speaks this provider's wire format. It keeps no state and may be shared."""
    match provider.protocol:
        case ProtocolName.OPENAI:
            return OpenAI(provider.base_url)
        case ProtocolName.ANTHROPIC:
            return Anthropic()
        case ProtocolName.GEMINI:
            return Gemini()
        case ProtocolName.MISTRAL:
            return Mistral()
