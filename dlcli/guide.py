"""Help: worked examples, and the groups, options and keys of each verb, read from the config files."""

import re
import sys
from typing import Any

from typer.core import TyperCommand, TyperGroup

from dlcli.config import catalog, paths, schema
from dlcli.errors import Interrupted

EXAMPLES = """dl: train, evaluate, sample and attack everything in five deep-learning courses.

  dl train                              an MLP on handwritten digits, in seconds
  dl train model=vae                    a variational autoencoder; then look:
  tensorboard --logdir outputs
  dl sample                             new digits from the newest run
  dl train model=lenet data=mnist       LeNet-5 on MNIST
  dl eval                               test the newest run
  dl attack attack=pgd attack.eps=0.1   attack it
  dl train -m model=mlp,cnn seed=1,2,3  a sweep, with means and spreads
  dl train resume                       go on with the newest unfinished run
  dl export format=onnx                 its net for other programs
  dl verify                             see that an interruption changes no bit

  dl ls models      what there is       dl show model=lenet   config and layers
  dl train --help   every key           dl doctor             check the set-up"""


def defaults(verb: str) -> dict[str, str]:
    """Return the groups of a verb with the option that each begins with."""
    chosen: dict[str, str] = {}
    inside = False
    for line in paths.lines(paths.packaged() / f"{verb}.yaml"):
        inside = line.startswith("defaults:") or (inside and line.startswith("  -"))
        key, _, value = line.strip("- ").partition(":")
        if inside and value and "/" not in key:
            chosen[key] = value.strip()
    return chosen


def rows(verb: str) -> list[tuple[str, str, str, str]]:
    """Return key, type, default and meaning of everything that a verb takes."""
    words = dict(word.split("=", 1) for word in sys.argv if "=" in word)
    chosen = {group: words.get(group, option) for group, option in defaults(verb).items()}
    entries = list(catalog.entries(paths.packaged() / f"{verb}.yaml"))
    for group, option in chosen.items():
        if group not in ("experiment", "data"):
            entries += catalog.own(group, option)
    found = {entry.key: entry for entry in entries if entry.value}  # the last wins
    shown = [entry for key, entry in found.items() if not key.endswith(("_target_", "_partial_"))]
    return [(entry.key, type_of(entry), entry.value, entry.meaning) for entry in shown]


def type_of(entry: catalog.Entry) -> str:
    """Return the type of a key: from the table if it stands there, else from how its default value is written."""
    kind = schema.ROOT.get(entry.key)
    if kind:
        return {int: "int", float: "float", bool: "bool", str: "text", list: "list"}[kind.type]
    for pattern, name in (
        (r"-?\d+", "int"),
        (r"-?[\d.]+(e-?\d+)?", "float"),
        (r"true|false", "bool"),
        (r"[\[{].*", "list"),
    ):
        if re.fullmatch(pattern, entry.value):
            return name
    return "" if entry.value.startswith("${") else "text"


class Verbs(TyperGroup):
    """All verbs; Ctrl-C ends each with a word, where typer would say nothing."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. Raises Interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            what = "; the same command goes on with it" if ctx.invoked_subcommand == "attack" else ""
            raise Interrupted(f"interrupted{what}") from stop


class Verb(TyperCommand):
    """A verb whose help shows its groups and keys."""

    def format_help(self, context: Any, formatter: Any) -> None:
        """Print typer's page and then ours."""
        from rich.console import Console
        from rich.table import Table

        super().format_help(context, formatter)
        verb = self.name or "train"
        groups = Table("group", "default", "options", title="groups: GROUP=OPTION", title_justify="left", box=None)
        for group, option in defaults(verb).items():
            groups.add_row(group, option, " ".join(paths.options(group)))
        keys = Table(title="keys: KEY=VALUE", title_justify="left", box=None)
        for heading in ("key", "type", "default", "meaning"):
            keys.add_column(heading, overflow="fold")  # an example that is cut helps nobody
        for row in rows(verb):
            keys.add_row(*row)
        console = Console(highlight=False, markup=False)
        with console.capture() as captured:
            if groups.row_count:
                console.print(groups)
            console.print(keys)
        formatter.write("\n" + captured.get())
