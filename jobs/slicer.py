"""Cutting a submission into slices, the ranges of jobs that workers lease, while its jobs arrive."""

from jobs.store.batches.jobs import SliceRange


class Slicer:
    """Cuts slices from a stream of jobs: of one queue each, `size` jobs at most."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: dict[str, tuple[int, int, int]] = {}
        self._next_no = 0
        self.queues: set[str] = set()

    @property
    def count(self) -> int:
        """How many slices have been cut."""
        return self._next_no

    def add(self, seq: int, queue: str) -> SliceRange | None:
        """Add a job; return the slice that it completes, if it does."""
        self.queues.add(queue)
        first, _last, jobs = self._open.get(queue, (seq, seq, 0))
        if jobs + 1 < self._size:
            self._open[queue] = (first, seq, jobs + 1)
            return None
        self._open.pop(queue, None)
        return self._cut(queue, first, seq, jobs + 1)

    def rest(self) -> list[SliceRange]:
        """Return the slices that are not full, at the end of the stream."""
        rest = [self._cut(queue, *range_) for queue, range_ in self._open.items()]
        self._open.clear()
        return rest

    def _cut(self, queue: str, first_seq: int, last_seq: int, jobs: int) -> SliceRange:
        piece = SliceRange(self._next_no, queue, first_seq, last_seq, jobs)
        self._next_no += 1
        return piece
