"""What documentation tells to type: every command of the docs and of the configs' headers is accepted."""

import re
import shlex
from pathlib import Path

import pytest

from dlcli.arguments import assignments
from dlcli.config import paths
from dlcli.config.check import check
from dlcli.errors import ConfigError
from dlcli.sweep.axes import corners

ROOT = Path(__file__).resolve().parents[1]
VERBS = ("train", "eval", "sample", "attack", "export", "verify")
BLANK = re.compile(r"\.\.\.|=N\b|\[[A-Z]|=[A-Z]|\[=|KEY|--config-dir")  # something is left to fill in


def commands(path: Path) -> list[str]:
    """Return the commands of a page, or of the comments of a config."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return re.findall(r"^# (dl [^#\n]+)", text, re.M)
    blocks = "".join(re.findall(r"```\w*\n(.*?)```", text, re.S)).replace("\\\n", " ")
    return re.findall(r"`(dl [^`]+)`", text) + re.findall(r"^(?:\$ )?(dl .+)", blocks, re.M)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "conf").rglob("*.yaml"))]


def told() -> list[tuple[str, str, list[str]]]:
    """Return page, verb and words of every command in which nothing is left to fill in."""
    found = {}
    for path in PAGES:
        for line in (part.strip() for whole in commands(path) for part in whole.split("&&")):
            words = shlex.split(line, comments=True)[1:]
            if words and words[0] in VERBS and not BLANK.search(" ".join(words)):
                found.setdefault(
                    tuple(words), (path.name, words[0], [w for w in words[1:] if w[0] != "-" or w == "-m"])
                )
    return list(found.values())


def test_every_option_that_is_told_of_exists():
    strange = []
    for page, verb, words in told():
        for key, _, value in (word.partition("=") for word in words):
            options = paths.options(key) if key in paths.groups() else {}
            strange += [
                f"{page}: dl {verb} {key}={name}" for name in value.split(",") if options and name not in options
            ]
    assert len(told()) > 200
    assert not strange


@pytest.mark.long
def test_every_command_that_is_told_of_is_accepted():
    faults = []
    for page, verb, words in told():
        multirun = "-m" in words
        given = assignments([word for word in words if "=" in word or word == "resume"])
        try:
            check(verb, corners(given) if multirun else given, multirun)
        except ConfigError as error:
            faults.append(f"{page}: {words}: {error}")
    assert not faults
