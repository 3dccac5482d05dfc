"""What signals ask for: to stop after the current step (the second time at once), or to save and go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}  # 128 + the number, as shells report it


class Stop:
    """Whether somebody asked the run to end, with the exit code for it; and whether to save at once."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.save = False

    def __bool__(self) -> bool:
        return self.code is not None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal. The next one that asks to end acts at once: what is kept is kept safely."""
        if number == signal.SIGUSR1:
            self.save = True
            return
        self.code = EXIT[signal.Signals(number)]
        for known in EXIT:
            signal.signal(known, signal.default_int_handler if known == signal.SIGINT else signal.SIG_DFL)


def hold_back() -> None:
    """Keep SIGUSR1 waiting until somebody listens: a process that still loads its data would die of it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


@contextmanager
def listening() -> Iterator[Stop]:
    """Listen for SIGINT, SIGTERM, SIGHUP and SIGUSR1; the former handlers come back at the end."""
    stop = Stop()
    heard = [number for number in EXIT if signal.getsignal(number) != signal.SIG_IGN]  # nohup stays in force
    try:
        before = {number: signal.signal(number, stop.hear) for number in [*heard, signal.SIGUSR1]}
        masked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})  # one that waited is heard now
    except ValueError:  # not the main thread: a launcher's worker, which must not touch handlers
        before, masked = {}, signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield stop
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        for number, handler in before.items():
            signal.signal(number, handler)
