"""`python -m dlcli.job FOLDER NUMBER WORDS` is `dl train WORDS` as a job of the sweep in that folder.

It writes into the ledger of the sweep, and ends soon after the process that started it has: its input is a pipe from
there on which nothing is ever said.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from dlcli.errors import DlError
from dlcli.sweep.ledger import Ledger
from dlcli.verbs.start import apart


def main() -> None:
    """Train; an error becomes its line and exit code, a fault of ours leaves its traceback in the log."""
    folder, number, *words = sys.argv[1:]
    sys.argv = ["dl", "train", *words]
    threading.Thread(target=end_with_the_sweep, daemon=True).start()
    try:
        apart(Ledger(Path(folder)), int(number), words)
    except DlError as error:
        print(f"dl: {error}", file=sys.stderr)
        sys.exit(error.code)


def end_with_the_sweep() -> None:
    """Wait for the end of the sweep; then save and leave, within two seconds."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
