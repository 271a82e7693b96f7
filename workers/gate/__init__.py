"""The gate: the fleet-wide pacing of pools. Ask before a call, settle after it."""
