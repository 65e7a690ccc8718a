"""Things that change step by step, each written by one writer at a time, and when each change can have taken effect."""

import time
from bisect import bisect_left, bisect_right
from contextlib import contextmanager

# Later than everything: the answer of a change that was not answered.
NEVER = 1 << 62


class Register:
    """A thing whose versions are 0, 1, 2 …, of which change `n` makes version `n`.

    A change took effect at one moment, not before it was sent and not after it was answered. Whoever saw a version narrows
    that: version `n` seen by a question says that change `n` had taken effect when the answer came, and change `n + 1`
    had not when the question was sent. The looks at one register have a common order with its changes if, and only if,
    every change is left a moment. Times are nanoseconds of the machine's monotonic clock, the same in all processes.
    """

    def __init__(self, name):
        self.name, self.earliest, self.latest = name, [0], [0]
        # Change → the look that narrowed it, for the report.
        self.seen_before, self.seen_after = {}, {}

    @contextmanager
    def change(self):
        """Around the request that makes the next version, repeated until it is answered."""
        self.earliest.append(time.monotonic_ns())
        self.latest.append(NEVER)
        yield
        self.latest[-1] = time.monotonic_ns()

    def see(self, low, high, sent, answered, look):
        """Somebody saw a version from `low` to `high`. False if there is none such."""
        if low >= len(self.earliest):
            return False
        if answered < self.latest[low]:
            self.latest[low] = answered
            self.seen_after[low] = look
        if high + 1 < len(self.earliest) and sent > self.earliest[high + 1]:
            self.earliest[high + 1] = sent
            self.seen_before[high + 1] = look
        return True

    def settle(self):
        """Changes happen in their order: none before the one before it, none after the one after it. What is known by then
        is what the questions below go by."""
        for number in range(1, len(self.earliest)):
            if self.earliest[number] < self.earliest[number - 1]:
                self.earliest[number] = self.earliest[number - 1]
                self.seen_before[number] = self.seen_before.get(number - 1)
        for number in range(len(self.latest) - 2, 0, -1):
            if self.latest[number] > self.latest[number + 1]:
                self.latest[number] = self.latest[number + 1]
                self.seen_after[number] = self.seen_after.get(number + 1)

        self.settled = self.earliest[:], self.latest[:]

    def can_be(self, version, moment):
        """Whether it may have had this version, or a later one, at that moment."""
        earliest, _ = self.settled
        return version < len(earliest) and earliest[version] <= moment

    def possible(self, remainder, sent, answered):
        """The lowest and the highest version that it may have had in a time, of the even (0) or the odd ones (1); the lowest
        is higher than the highest where there is none."""
        earliest, latest = self.settled
        low, high = bisect_left(latest, sent, 1) - 1, bisect_right(earliest, answered) - 1
        return low + (low % 2 != remainder), high - (high % 2 != remainder)

    def contradictions(self):
        """Each change that is left no moment: how many milliseconds are missing, the look that came too late not to see it,
        the one that saw it before; `None` is its writer. After `settle`."""
        for number in range(1, len(self.earliest)):
            missing_ms = (self.earliest[number] - self.latest[number]) / 1e6
            if missing_ms > 0:
                yield number, missing_ms, self.seen_before.get(number), self.seen_after.get(number)
