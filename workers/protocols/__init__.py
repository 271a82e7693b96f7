"""The wire formats that workers speak; `protocol_of` is the only list of them."""

from jobs.configuration import ProtocolName, Provider
from jobs.exchange import Endpoint
from workers.protocols.anthropic import Anthropic
from workers.protocols.gemini import Gemini
from workers.protocols.mistral import Mistral
from workers.protocols.openai import OpenAI
from workers.protocols.protocol import Protocol, WireRequest

__all__ = ["Protocol", "WireRequest", "protocol_of"]


def protocol_of(provider: Provider, endpoint: Endpoint = Endpoint.CHAT) -> Protocol:
    """Return what speaks this provider's wire format. It keeps no state and may be shared.

    `endpoint` is where a body goes that was written for one of those that OpenAI's format has.
    """
    match provider.protocol:
        case ProtocolName.OPENAI:
            return OpenAI(provider.base_url, endpoint)
        case ProtocolName.ANTHROPIC:
            return Anthropic()
        case ProtocolName.GEMINI:
            return Gemini()
        case ProtocolName.MISTRAL:
            return Mistral()
