"""What the benchmarks share: options, blocks in turn, child processes, and the table. Imports nothing heavy."""

import argparse
import os
import statistics
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = ("what", "ours", "peer", "ratio", "note")


def options(text: str | None, threads: int | None = None, **more: str) -> argparse.Namespace:
    """Read `--quick`, `--threads` (default: all cores) and, for child processes, further words; set the threads."""
    parser = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only see that it works: the numbers mean nothing")
    parser.add_argument("--threads", type=int, default=threads or cores(), help="CPU threads (default %(default)s)")
    for name, meaning in more.items():
        parser.add_argument(f"--{name}", help=meaning)
    found = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(found.threads)  # torch, in this process and in every child, reads it at import
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # everything is compared on the CPU
    return found


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def data_root() -> Path:
    """Return the data directory, as `dl` chooses it."""
    return Path(os.environ.get("DL_DATA", "~/.cache/dl")).expanduser()


def data_name(quick: bool = False) -> str:
    """Return `mnist` if its files are there, else (or to be quick) `digits`, which comes with scikit-learn."""
    there = any((data_root() / "mnist" / f"train-images-idx3-ubyte{end}").exists() for end in ("", ".gz"))
    return "mnist" if there and not quick else "digits"


def in_turn(acts: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Call each act once per round, every other round backwards (A B, B A, ...); return what each measured."""
    found: list[list[float]] = [[] for _ in acts]
    for i in range(rounds):
        order = range(len(acts))
        for k in reversed(order) if i % 2 else order:
            found[k].append(acts[k]())
    return found


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that an act takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def child(command: Sequence[str], code: int = 0, **environment: str) -> tuple[float, str]:
    """Run a process to its end; return its wall seconds and what it printed. Leaves if it ends with another code."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    seconds = time.perf_counter() - began
    if done.returncode != code:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


def environment(folder: Path, bare: Sequence[str], whole: Sequence[str] = ()) -> Path:
    """Return the Python of an environment that sees what this one has, and has more: bare packages and whole ones."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        (here,) = folder.glob("lib/python*/site-packages")
        (here / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n" + str(HERE.parent) + "\n")
        for words in (["--no-deps", *bare], whole):
            if words:
                subprocess.run([python, "-m", "pip", "install", "-q", *words], check=True)
    return python


def compare(what: str, ours: Sequence[float], peer: Sequence[float], note: str = "") -> list[str]:
    """Return a row: medians of the blocks, the median of the ratios of neighbouring blocks, and their range."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    return [what, span(statistics.median(ours)), span(statistics.median(peer)), f"{ratio(ours, peer):.3f}",
            f"{spread}; {note}" if note else spread]  # fmt: skip


def ratio(ours: Sequence[float], peer: Sequence[float]) -> float:
    """Return the median ratio of neighbouring blocks: whatever slows the machine down slows both."""
    return statistics.median(a / b for a, b in zip(ours, peer, strict=True))


def span(seconds: float) -> str:
    """Return a span of time with three digits and a unit."""
    for scale, unit in ((1, "s"), (1e3, "ms")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def verdict(met: bool) -> str:
    """Say whether an aim is met."""
    return "met" if met else "MISSED"


def show(rows: Sequence[Sequence[str]], given: argparse.Namespace, header: Sequence[str] = HEADER) -> None:
    """Print a Markdown table, and under which conditions it was measured."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print(f"\n{given.threads} threads, Python {sys.version.split()[0]}{'; QUICK: NOT A RESULT' if given.quick else ''}")
