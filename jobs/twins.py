"""Which jobs of a submission ask for the same as an earlier one: found while they arrive.

A hash table in two flat arrays, as a million Python integers would take four times the memory: 16 bytes
a place, doubled before it is two thirds full, up to 4 MB: of a larger batch its first 170,000 different
jobs are remembered, and those that repeat one of them are found.
Of a fingerprint 96 bits are kept: among a million jobs two different ones are taken for the same in
one of 10^17 submissions.
"""

from array import array

_EMPTY = 0xFFFF_FFFF
_FIRST_BITS = 12
_FULL = 2 / 3
MOST_JOBS = 170_000


class Twins:
    """The jobs that were seen, by fingerprint; seq is below 2^32 - 1."""

    def __init__(self) -> None:
        self._jobs = 0
        self._make(_FIRST_BITS)

    def first(self, fingerprint: bytes, seq: int) -> int | None:
        """Return the seq of the job that asked for the same first; None if this is the first.

        `fingerprint` is 12 bytes or more of a good hash.
        """
        high = int.from_bytes(fingerprint[:8], "big")
        low = int.from_bytes(fingerprint[8:12], "big")
        place = self._place(high, low)
        found = self._seqs[place]
        if found != _EMPTY:
            return found
        if self._jobs == MOST_JOBS:
            return None
        self._highs[place], self._lows[place], self._seqs[place] = high, low, seq
        self._jobs += 1
        if self._jobs > _FULL * len(self._seqs):
            self._grow()
        return None

    def _place(self, high: int, low: int) -> int:
        """Return where a fingerprint is, or would be."""
        highs, lows, seqs, mask = self._highs, self._lows, self._seqs, len(self._seqs) - 1
        place = high & mask
        while seqs[place] != _EMPTY and (highs[place] != high or lows[place] != low):
            place = (place + 1) & mask
        return place

    def _make(self, bits: int) -> None:
        places = 1 << bits
        self._highs = array("Q", bytes(8 * places))
        self._lows = array("I", bytes(4 * places))
        self._seqs = array("I", b"\xff" * (4 * places))

    def _grow(self) -> None:
        highs, lows, seqs = self._highs, self._lows, self._seqs
        self._make(len(seqs).bit_length())
        for high, low, seq in zip(highs, lows, seqs, strict=True):
            if seq != _EMPTY:
                place = self._place(high, low)
                self._highs[place], self._lows[place], self._seqs[place] = high, low, seq
