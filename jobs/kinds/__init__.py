"""The kinds of jobs. A new one is a class in a file of its own and an entry here.

Or it is in a package of its own that names it as an entry point: `registry`.
"""

from collections.abc import Mapping

from jobs.kinds.chat import Chat
from jobs.kinds.extraction import Extraction
from jobs.kinds.generation import Generation
from jobs.kinds.kind import Kind
from jobs.kinds.messages import Messages
from jobs.kinds.registry import with_installed
from jobs.kinds.responses import Responses
from jobs.kinds.translation import Translation

__all__ = ["KINDS"]

KINDS: Mapping[str, Kind] = with_installed(
    (Generation(), Extraction(), Translation(), Chat(), Responses(), Messages())
)
"""Every kind, by the name that lines use."""
