"""How long a batch takes, so that a queue can tell how long a request would wait in it."""

from math import exp


class Pace:
    """The seconds that a batch takes: those of the last one, or the mean of the recent ones if that is less.

    The mean keeps one slow flush of the log from making a fast queue look slow. The last one makes the queue look fast
    again as soon as it is.

    The mean is over about `memory_seconds` of work, not over a number of batches. So a slow batch among many fast ones
    weighs little, and one that is several times as long as the memory outweighs all before it.
    """

    def __init__(self, memory_seconds: float, batches: float) -> None:
        """Begin as if so many `batches` had filled the memory: the first batches of a worker may be slow, too."""
        self._memory_seconds = memory_seconds
        self._seconds = memory_seconds
        self._batches = batches
        self.batch_seconds = 0.0

    def note(self, seconds: float) -> None:
        """Take in that a batch has taken so many seconds. What was before it fades."""
        left = exp(-seconds / self._memory_seconds)
        self._seconds = self._seconds * left + seconds
        self._batches = self._batches * left + 1
        self.batch_seconds = min(seconds, self._seconds / self._batches)
