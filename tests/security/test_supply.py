"""What comes along with the package: pinned dependencies, an import without side effects, no module of the folder."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from corpus import MODULES
from packaging.requirements import Requirement
from payloads import PYTHON

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def canonical(name: str) -> str:
    """Return a distribution's name in the one spelling of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Return the installed distributions that one needs, however indirectly."""
    found: set[str] = set()
    todo = [(name, extras)]
    while todo:
        here, wanted = todo.pop()
        try:
            lines = metadata.requires(here) or []
        except metadata.PackageNotFoundError:
            continue  # for another system, or of an extra that is not installed
        found.add(canonical(here))
        for needed in map(Requirement, lines):
            fits = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted))
            if fits and canonical(needed.name) not in found:
                todo.append((needed.name, tuple(needed.extras)))
    return found - {canonical(name)}


def pinned() -> dict[str, str]:
    """Return the names and versions of constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pins = {canonical(match[1]): match[2] for line in lines if (match := PIN.fullmatch(line))}
    assert len(pins) == len(lines), "a line that is no exact pin, or a name twice"
    return pins


def test_every_dependency_is_pinned_to_one_version():
    pins = pinned()
    needed = closure("dlcli", ("parquet", "sweep", "test"))
    assert "torch" in needed
    assert not needed - pins.keys()


def test_the_lock_names_the_bytes_of_every_pin_but_torch():
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    entries = [line.split() for line in text.splitlines() if line and line[0] != "#"]
    locked = {canonical(match[1]): match[2] for entry in entries if (match := PIN.fullmatch(entry[0]))}
    assert locked.keys() | {"torch"} == pinned().keys()
    assert locked.items() <= pinned().items()
    for entry in entries:
        assert len(entry) > 1, f"{entry[0]} has no hash"
        assert all(HASH.fullmatch(word) for word in entry[1:]), entry[0]


HOOK = """
import sys
def hook(event, arguments):
    writing = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writing or event.startswith(("subprocess.", "os.system", "os.exec", "os.posix_spawn", "socket.connect")):
        raise SystemExit(f"breach: {event} {arguments}")
sys.addaudithook(hook)
"""


def test_importing_everything_touches_nothing(tmp_path):
    walk = "import dlcli, pkgutil, importlib\n" + (
        "for module in pkgutil.walk_packages(dlcli.__path__, 'dlcli.'):\n"
        "    if '_plugins' not in module.name and '__main__' not in module.name: importlib.import_module(module.name)\n"
    )
    words = [sys.executable, "-B", "-c", HOOK + walk]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--version"], ["ls", "models"], ["show", "model=softmax"]], ids=" ".join)
def test_modules_of_the_folder_are_not_imported(words, tmp_path):
    script = Path(sys.executable).parent / "dl"
    if not script.exists():
        pytest.skip("dl is not installed as a command")
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(PYTHON)
    environment = os.environ | {"CANARY": str(tmp_path / "canary")}
    done = subprocess.run([script, *words], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "canary").exists()
    subprocess.run([sys.executable, "-c", "import stranger"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "canary").exists()  # the positive control: this python does look into the folder
