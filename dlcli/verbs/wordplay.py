"""`dl eval analogies=FILE`: which word is to c as b is to a? Questions in the form of Google's questions-words.txt."""

from pathlib import Path
from typing import Any

from dlcli import analogies
from dlcli.data.reader import read
from dlcli.errors import ConfigError, DataError
from dlcli.run import Run
from dlcli.seeing.vectors import table, vocabulary
from dlcli.text import printable

TOTAL = "all together"


def wordplay(run: Run, model: Any, config: dict[str, Any]) -> dict[str, float]:
    """Print and write how many questions of each section are answered right; return the shares.

    Raises ConfigError for models without vectors of words, and DataError for a file that holds no questions.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    path, notes = Path(config["analogies"]).expanduser(), list[str]()
    known = vocabulary(model)
    vectors = None if known is None else table(model, len(known))
    if known is None or known.level != "words" or vectors is None:
        raise ConfigError(f"analogies={printable(path)}: {run} has no vectors of words; train some with model=skipgram")
    if not path.is_file():
        raise DataError(f"analogies={printable(path)}: no such file")
    rows: dict[str, tuple[int, int, int]] = {}  # right, known, asked
    for section, asked in analogies.questions(read(path, notes), f"analogies={printable(path)}").items():
        able = analogies.known(asked, known).to(vectors.device)
        rows[section] = (int(analogies.solved(vectors.detach(), able, known.specials).sum()), len(able), len(asked))
    if len(rows) > 1 and TOTAL not in rows:
        right, able_, asked_ = (sum(column) for column in zip(*rows.values(), strict=True))
        rows[TOTAL] = (right, able_, asked_)
    grid = Table("analogies", "asked", "known", "right", "accuracy", box=None)
    for section, (right, able_, asked_) in rows.items():
        share = f"{right / able_:.1%}" if able_ else "-"
        grid.add_row(Text(printable(section)), f"{asked_:,}", f"{able_:,}", f"{right:,}", share)
    console = Console(highlight=False)
    for line in (*notes, f"{run}: {printable(path)}; a question counts if all its words are known"):
        console.print(line, markup=False, soft_wrap=True)
    console.print(grid)
    scores = {section: right / able_ for section, (right, able_, _) in rows.items() if able_}
    counts = {section: dict(zip(("right", "known", "asked"), row, strict=True)) for section, row in rows.items()}
    run.write("report-analogies.json", {"analogies": str(path), "scores": scores, "counts": counts})
    return scores
