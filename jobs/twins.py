"""Which jobs of a submission ask for the same as an earlier one: found while they arrive.

A hash table of a fixed size in flat memory, as a million Python integers would take four times as much:
16 bytes a place, 4 MB, of which the system gives what is touched. Of a larger batch its first 170,000
different jobs are remembered, and those that repeat one of them are found.
Of a fingerprint 96 bits are kept: among a million jobs two different ones are taken for the same in
one of 10^17 submissions.
"""

from mmap import mmap

MOST_JOBS = 170_000
_PLACES = 1 << 18
"""Half as many again: the fuller such a table is, the longer one looks for a place."""


class Twins:
    """The jobs that were seen, by fingerprint; seq is below 2^32 - 1."""

    def __init__(self) -> None:
        self._jobs = 0
        self._highs = memoryview(mmap(-1, 8 * _PLACES)).cast("Q")
        self._lows = memoryview(mmap(-1, 4 * _PLACES)).cast("I")
        self._seqs = memoryview(mmap(-1, 4 * _PLACES)).cast("I")  # from 1: 0 is an empty place

    def first(self, fingerprint: bytes, seq: int) -> int | None:
        """Return the seq of the job that asked for the same first; None if this is the first.

        `fingerprint` is 12 bytes or more of a good hash.
        """
        high = int.from_bytes(fingerprint[:8], "big")
        low = int.from_bytes(fingerprint[8:12], "big")
        place = self._place(high, low)
        found = self._seqs[place]
        if found:
            return found - 1
        if self._jobs < MOST_JOBS:
            self._highs[place], self._lows[place], self._seqs[place] = high, low, seq + 1
            self._jobs += 1
        return None

    def _place(self, high: int, low: int) -> int:
        """Return where a fingerprint is, or would be."""
        highs, lows, seqs = self._highs, self._lows, self._seqs
        place = high % _PLACES
        while seqs[place] and (highs[place] != high or lows[place] != low):
            place = (place + 1) % _PLACES
        return place
