"""`python -m dlcli.data.worker` decodes pictures for another process.

It reads one request a line, a picture as JSON, and answers with a length and as many bytes of pixels, or with a
negative length and a reason. It ends when its input does, hence with the process that started it, however that ends.
"""

import json
import signal
import struct
import sys

from dlcli.data.decode import Unreadable, Wanted, decode

HEADER = struct.Struct(">q")


def main() -> None:
    """Answer requests until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the other process decides when all is saved
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        try:
            content = decode(Wanted(*json.loads(line))).tobytes()
            length = len(content)
        except Unreadable as error:
            content = str(error).encode("utf-8", "replace")
            length = -len(content)
        try:
            sys.stdout.buffer.write(HEADER.pack(length) + content)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            break


if __name__ == "__main__":
    main()
