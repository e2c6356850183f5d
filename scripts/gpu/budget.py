"""The time of the check. On a machine that is lent for minutes, it ends in time with what it has."""

import time


class Late(Exception):
    """A step was stopped because its time was over."""


# What is left of the time when the last step is stopped: programs need a moment to end, and results to be written.
RESERVE = 0.03


class Budget:
    def __init__(self, minutes: float | None):
        self.end = None if minutes is None else time.monotonic() + minutes * 60 * (1 - RESERVE)

    def left(self) -> float | None:
        """Seconds; None: any number."""
        return None if self.end is None else max(0.0, self.end - time.monotonic())

    def share(self, steps: float) -> float | None:
        """The seconds that one of so many steps may take. A step that takes less leaves its time to the others, so that it may take
        twice its equal share."""
        left = self.left()
        return None if left is None else left * min(1.0, 2 / steps)
