"""Where numbers and pictures go: TensorBoard, `scalars.csv`, and the terminal.

TensorBoard and the CSV file hold the same numbers. A resumed run drops what lies after its checkpoint, so that no point
stands twice. A log that cannot be written warns once; a reader that is gone is not told any more. Neither ever stops a
training.
"""

import csv
import functools
import io
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dlcli import disk, jsonfile

COLUMNS = ["step", "name", "value"]
STEP = re.compile(r"[0-9]{1,18}")
LARGEST = 2**28  # bytes of `scalars.csv` that are read: millions of rows
FOREVER = 2**62  # resumed after every step: adds to a finished run and drops nothing


class Log:
    """The logs of one run folder."""

    def __init__(self, folder: Path, resumed_at: int | None = None):
        self.folder, self.console = folder, Console(highlight=False, file=Outlet())  # type: ignore[arg-type]
        self.table = folder / "scalars.csv"
        self.ticker: Ticker | None = None
        self.resumed_at, self._broken = resumed_at, set[str]()
        self._writer: Any = None
        self._known = set[tuple[str, str]]()
        self.attempt("scalars.csv", self.begin)

    def begin(self) -> None:
        """Open the table; who only adds to a run leaves it to its writer, who drops the rows after the checkpoint."""
        if self.resumed_at != FOREVER:
            disk.write(self.table, self.kept())
        self._file = disk.ending(self.table)
        if self._file.tell() == 0:
            csv.writer(self._file).writerow(COLUMNS)
            self._file.flush()

    def kept(self) -> bytes:
        """Return the table up to the checkpoint.

        The rows of its very step may come again: validation follows the save.
        """
        limit, content = -1 if self.resumed_at is None else self.resumed_at, io.BytesIO()
        text = io.TextIOWrapper(content, "utf-8", newline="", write_through=True)
        csv.writer(text).writerow(COLUMNS)
        for row in self.rows():
            if int(row["step"]) <= limit:
                csv.writer(text).writerow([row[key] for key in COLUMNS])
                if row["step"] == str(limit):
                    self._known.add((row["step"], row["name"]))
        return content.getvalue()

    def rows(self) -> Iterator[dict[str, str]]:
        """Yield the rows of `scalars.csv`, as far as they can be read; without a table, none."""
        try:
            with jsonfile.regular(self.table) as file:
                if os.fstat(file.fileno()).st_size > LARGEST:
                    raise ValueError(f"more than {LARGEST:,} bytes")
                lines = io.TextIOWrapper(file, "utf-8", newline="")
                for row in csv.DictReader(line for line in lines if line.endswith("\n")):  # a torn row is none
                    if row["value"] and STEP.fullmatch(row["step"]):
                        yield row
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            self.say(f"warning: {self.table} cannot be read ({error}); what follows there is dropped")

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def tick(self, step: int, text: str, score: str = "") -> None:
        """Show how far the run is, if somebody watches."""
        if self.ticker:
            self.ticker.tick(step, text, score)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Log numbers at a step; they outlive the process."""
        new = {name: float(value) for name, value in values.items() if (str(step), name) not in self._known}
        self.attempt("scalars.csv", lambda: self.add(new, step))
        self.board(lambda writer: [writer.add_scalar(name, value, step) for name, value in new.items()])
        self.board(lambda writer: writer.flush())

    def add(self, values: dict[str, float], step: int) -> None:
        """Add rows to the table."""
        csv.writer(self._file).writerows([step, name, repr(value)] for name, value in values.items())
        self._file.flush()

    def pictures(self, name: str, found: dict[str, Any], step: int) -> None:
        """Log pictures (N, C, H, W) and texts at a step."""
        for key, value in found.items():
            tag = f"{name}/{key}"
            if isinstance(value, str):
                self.board(lambda writer, tag=tag, value=value: writer.add_text(tag, value, step))
            else:
                shown = value if value.shape[1] in (1, 3) else value.mean(1, keepdim=True)  # as the figures have it
                self.board(lambda writer, tag=tag, shown=shown: writer.add_images(tag, shown.clamp(0, 1), step))

    def figures(self, name: str, figures: dict[str, Any], step: int) -> None:
        """Save matplotlib figures as `figures/<name>-<key>.png` and log the same pictures, since drawing is slow."""
        from matplotlib.image import imread

        for key, figure in figures.items():
            drawn = io.BytesIO()
            figure.savefig(drawn, format="png")
            path = self.folder / "figures" / f"{name}-{key.replace(' ', '-').replace('_', '-')}.png"
            self.attempt("figures", functools.partial(self.put, path, drawn.getvalue()))
            drawn.seek(0)
            picture = imread(drawn)[..., :3]  # (H, W, 3)
            self.board(
                lambda writer, key=key, picture=picture: writer.add_image(
                    f"{name}/{key}", picture, step, dataformats="HWC"
                )
            )

    def put(self, path: Path, content: bytes) -> None:
        """Write a file in one piece into a folder of the run; git drops folders that were empty."""
        path.parent.mkdir(exist_ok=True)
        disk.write(path, content)

    def histograms(self, values: dict[str, Any], step: int) -> None:
        """Log histograms of tensors at a step."""
        self.board(lambda writer: [writer.add_histogram(name, value, step) for name, value in values.items()])

    def settings(self, values: dict[str, Any], metrics: list[str]) -> None:
        """Declare hyperparameters and final metrics in this very run, so that running and crashed runs show too."""
        from torch.utils.tensorboard.summary import hparams

        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in values.items()
        }
        summaries = hparams(plain, {f"valid best/{name}": 0.0 for name in metrics})
        self.board(lambda writer: [writer.file_writer.add_summary(summary) for summary in summaries])

    def board(self, act: Any) -> None:
        """Do something with the TensorBoard writer."""
        self.attempt("TensorBoard", lambda: act(self.writer))

    def attempt(self, what: str, act: Callable[[], Any]) -> None:
        """Do something for one of the logs; if that fails, warn, and leave it alone from then on."""
        if what in self._broken:
            return
        try:
            act()
        except OSError as error:
            self._broken.add(what)
            self.say(f"warning: {what} cannot be written ({error}); training goes on without it")

    @property
    def writer(self) -> Any:
        """The TensorBoard writer, made when first needed."""
        if self._writer is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                from torch.utils.tensorboard import SummaryWriter
            purge = None if self.resumed_at in (None, FOREVER) else self.resumed_at + 1
            self._writer = SummaryWriter(str(self.folder), purge_step=purge)
        return self._writer

    def flush(self) -> None:
        """Write what is buffered."""
        if self._writer is not None:
            self.board(lambda writer: writer.flush())

    def close(self) -> None:
        """Write what is buffered, and let go."""
        with suppress(OSError, AttributeError):  # full, or never opened
            self._file.close()
        if self._writer is not None:
            self.board(lambda writer: writer.close())


class Outlet:
    """Standard output, as long as somebody reads it: a closed pipe or terminal must not end a training."""

    def __init__(self) -> None:
        self.stream = sys.stdout

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or be silent from now on."""
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        return len(text)


class Ticker:
    """The progress of a training: a bar on a terminal; in a file or pipe a line after 1 s, then ever more rarely."""

    def __init__(self, console: Console, total: int, done: int = 0):
        self.console, self.total, self.first = console, total, done
        self.began, self.next, self.score = time.monotonic(), 1.0, ""
        columns = (
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=console, transient=True) if sys.stdout.isatty() else None
        if self.bar:
            self.task = self.bar.add_task("", total=total, completed=done)
            self.bar.start()

    def tick(self, step: int, text: str, score: str = "") -> None:
        """Show how far the run is; a bar keeps the score in sight until the next one."""
        self.score = score or self.score
        spent = time.monotonic() - self.began
        rate = (step - self.first) / max(spent, 1e-9)
        if self.bar:
            room = max(self.console.width - len(f"{self.total}/{self.total}") - 20, 10)  # beside bar, steps and time
            told = f"{rate:,.0f}/s  {text}{'' if score else self.score}"
            told = told if len(told) <= room else f"{told[: room - 1]}…"
            self.bar.update(self.task, completed=step, description=told)
        elif spent >= self.next:
            self.next = spent + min(60.0, max(1.0, 0.1 * spent))
            left = clock((self.total - step) / max(rate, 1e-9))
            line = f"step {step}/{self.total}  {text}  {rate:,.0f} steps/s  {left} left"
            self.console.print(line, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar:
            self.bar.stop()


def clock(seconds: float) -> str:
    """Return a span of time as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
