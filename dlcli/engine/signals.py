"""Stop when asked: the first signal ends the run after the current step, the second one at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Stop:
    """Whether somebody asked the run to end, and the exit code for it."""

    def __init__(self) -> None:
        self.code: int | None = None

    def __bool__(self) -> bool:
        return self.code is not None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal, and let the next one act at once."""
        self.code = EXIT[signal.Signals(number)]
        for known in EXIT:
            signal.signal(known, signal.default_int_handler if known == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def listening() -> Iterator[Stop]:
    """Listen for SIGINT and SIGTERM; the former handlers come back at the end."""
    stop = Stop()
    try:
        before = {number: signal.signal(number, stop.hear) for number in EXIT}
    except ValueError:  # not the main thread: a launcher's worker, which must not touch handlers
        before = {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
