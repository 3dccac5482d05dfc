"""Processes that decode pictures ahead of time; the order of the answers is that of the questions.

Each worker is asked by a thread of its own, which waits without holding the interpreter. A picture at which a worker
dies or falls silent is asked once more of a fresh one, then given up: a decoder that crashes harms nobody else.
"""

import atexit
import json
import select
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from queue import SimpleQueue
from typing import IO

import numpy as np

from dlcli.child import command
from dlcli.data.decode import Unreadable, Wanted, decode
from dlcli.data.worker import HEADER

SILENCE = 60.0  # seconds after which a worker is taken for dead
AHEAD = 64  # pictures that are asked for beyond the one that is waited for, for each worker


class Worker:
    """One process, asked one question at a time."""

    def __init__(self) -> None:
        self.popen: subprocess.Popen[bytes] | None = None

    def answer(self, wanted: Wanted) -> np.ndarray:
        """Return the pixels of a picture. Raises Unreadable."""
        for _ in range(2):
            with suppress(OSError, EOFError):
                return self.ask(wanted)
            self.end()
        raise Unreadable("it makes the decoder crash or hang")

    def ask(self, wanted: Wanted) -> np.ndarray:
        """Send a request and wait for its answer. Raises EOFError and OSError if the process has died."""
        if self.popen is None:
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self.popen = subprocess.Popen(command("dlcli.data.worker"), stdin=pipe, stdout=pipe, stderr=nowhere)
        into, out = self.popen.stdin, self.popen.stdout
        assert into is not None
        assert out is not None
        into.write(json.dumps(wanted).encode() + b"\n")
        into.flush()
        if not select.select([out], [], [], SILENCE)[0]:
            raise EOFError
        (length,) = HEADER.unpack(exactly(out, HEADER.size))
        content = exactly(out, abs(length))
        if length < 0:
            raise Unreadable(content.decode("utf-8", "replace"))
        return np.frombuffer(content, dtype=np.uint8).reshape(wanted.channels, wanted.height, wanted.width)

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.communicate()
            self.popen = None


class Workers:
    """Several workers; none: pictures are decoded here and now."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.idle: SimpleQueue[Worker] = SimpleQueue()
        for _ in range(count):
            self.idle.put(Worker())
        self.threads = ThreadPoolExecutor(count, "decode") if count else None

    def read(self, wanted: Iterable[Wanted]) -> Iterator[np.ndarray | Unreadable]:
        """Yield the pixels of each picture in turn, or why it cannot be read."""
        if self.threads is None:
            yield from map(attempt, wanted)
            return
        waiting: deque[Future[np.ndarray | Unreadable]] = deque()
        try:
            for one in wanted:
                waiting.append(self.threads.submit(self.ask, one))
                if len(waiting) > AHEAD * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def ask(self, wanted: Wanted) -> np.ndarray | Unreadable:
        """Hand one picture to a worker that is idle."""
        worker = self.idle.get()
        try:
            return worker.answer(wanted)
        except Unreadable as error:
            return error
        finally:
            self.idle.put(worker)

    def end(self) -> None:
        """End all processes."""
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)
            for _ in range(self.count):
                self.idle.get().end()


@lru_cache
def workers(count: int) -> Workers:
    """Return so many workers, shared by all data sets of this process."""
    found = Workers(count)
    atexit.register(found.end)
    return found


def attempt(wanted: Wanted) -> np.ndarray | Unreadable:
    """Decode a picture in this process."""
    try:
        return decode(wanted)
    except Unreadable as error:
        return error


def exactly(stream: IO[bytes], count: int) -> bytes:
    """Read so many bytes. Raises EOFError if there are fewer."""
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content
