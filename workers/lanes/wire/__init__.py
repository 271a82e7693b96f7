"""The providers' batch APIs as they are seen from here: one file for each, one interface for all."""

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

__all__ = [
    "End",
    "LaneShape",
    "NativeBatches",
    "NativeLine",
    "Order",
    "Remote",
    "Traces",
    "may_have_created",
]
