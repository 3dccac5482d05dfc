"""How long `dl` takes to answer: help, a mistake, a list, completion; against an empty Typer app.

Every command is a new process; all run in turn. The empty app is plain, as `dl` is: Typer's default would import rich
to colour its help, which is a row of its own.
"""

import sys
from functools import partial

import common

DL = "import sys; sys.argv[0] = 'dl'; from dlcli.cli import main; main()"
EMPTY = """
import sys, typer
sys.argv[0] = 'empty'
app = typer.Typer({})
@app.command()
def nothing(): pass
app()
"""
PLAIN = EMPTY.format("rich_markup_mode=None, pretty_exceptions_enable=False")
COMPLETE = {"_DL_COMPLETE": "complete_bash", "COMP_WORDS": "dl train model=le", "COMP_CWORD": "2"}


def main() -> None:
    """Measure fifteen runs of each command."""
    given = common.options(__doc__)
    acts = {
        "empty app --help": partial(run, PLAIN, "--help", says="Usage"),
        "empty app --help, with rich": partial(run, EMPTY.format(""), "--help", says="Usage"),
        "python -c pass": partial(run, "pass"),
        "python -c 'import torch'": partial(run, "import torch"),
        "dl --help": partial(run, DL, "--help", says="train"),
        "dl": partial(run, DL, says="dl train"),
        "dl train --help": partial(run, DL, "train", "--help", says="epochs"),
        "dl train epochs=abc": partial(run, DL, "train", "epochs=abc", code=2),
        "dl ls models": partial(run, DL, "ls", "models", says="lenet"),
        "completion of model=le": partial(run, DL, says="lenet", **COMPLETE),
    }
    common.in_turn(list(acts.values()), 1)  # warm-up: byte code and file cache
    found = dict(zip(acts, common.in_turn(list(acts.values()), 2 if given.quick else 15), strict=True))
    empty, rich, bare, torch = (found.pop(name) for name in list(acts)[:4])
    rows = [common.compare(f"{name} against an empty app", times, empty) for name, times in found.items()]
    rows.append(common.compare("dl --help against one with rich", found["dl --help"], rich))
    rows.append(common.compare("dl --help against python -c pass", found["dl --help"], bare))
    rows.append(
        common.compare("dl train epochs=abc against python -c 'import torch'", found["dl train epochs=abc"], torch)
    )
    common.show(rows, given)


def run(program: str, *words: str, code: int = 0, says: str = "", **environment: str) -> float:
    """Return the seconds of one run; it must end with `code` and say what is expected of it."""
    seconds, printed = common.child([sys.executable, "-c", program, *words], code, **environment)
    if says not in printed:
        sys.exit(f"{words} {environment} printed no {says!r}:\n{printed}")
    return seconds


if __name__ == "__main__":
    main()
