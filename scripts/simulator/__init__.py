"""Four LLM providers on loopback, with limits, faults and a ledger: the judge of the tests.

It imports nothing of the code that it judges. `parse_arguments` is the command line as a function.
"""

from scripts.simulator.arguments import parse_arguments
from scripts.simulator.options import SimulatorOptions
from scripts.simulator.server import serve

__all__ = ["SimulatorOptions", "parse_arguments", "serve"]
