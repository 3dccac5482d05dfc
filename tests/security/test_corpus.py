"""Strangers' files at every entry point: refused in one clear line, and nothing runs, grows or is written elsewhere.

`DL_LONG=1 pytest tests/security` feeds every file of the corpus to every entry point; without it a file meets one of
them, and of the files only every sixtieth is tried.
"""

import functools
import pickle
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from corpus import corpus
from payloads import EVIL, PYTHON
from places import Case
from witness import Verdict, witness

from dlcli.cli import LONGEST
from dlcli.errors import EXIT_CODES

DATA = ("train", "model=softmax", "epochs=1", "init=zeros")
ENTRIES = {  # by kind of file: the commands that could read it, `{softmax}` and `{vae}` being run folders
    "run": (
        ("train", "resume={softmax}", "epochs=2"),
        ("eval", "{softmax}", "points=0", "mistakes=0"),
        ("eval", "{softmax}", "checkpoint=last", "points=0", "mistakes=0", "see=[]"),
        ("sample", "{vae}", "n=2"),
        ("attack", "{softmax}", "n=8", "checks=0"),
        ("train", "resume={vae}", "epochs=2"),
        ("export", "{softmax}", "format=safetensors"),
        ("verify", "{softmax}", "steps=2"),
        ("ls", "runs"),
    ),
    "arrays": ((*DATA, "data=arrays", "data.source.path=x.npz"),),
    "table": ((*DATA, "data=table", "data.source.path=x.csv", "data.source.target=y"),),
    "parquet": ((*DATA, "data=table", "data.source.path=x.parquet", "data.source.target=y"),),
    "idx": ((*DATA, "data=mnist", "paths.data=."), (*DATA, "model=vae", "data=binary_mnist", "paths.data=.")),
}
FILES = {"arrays": "x.npz", "table": "x.csv", "parquet": "x.parquet"}
PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
MNIST = [f"mnist/{part}-ubyte.gz" for part in PARTS]
CODES = set(EXIT_CODES) - {1, 130, 143}
Command = tuple[str, ...]


def dl(*words: str) -> int:
    """Run the command line in this process."""
    from dlcli import cli

    sys.argv = ["dl", *words]
    try:
        cli.main()
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Return a folder of good runs, made once."""
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DL_OFFLINE", "1")
        patch.setattr(sys, "argv", ["dl"])
        prepare()
    return folder / "outputs"


def prepare() -> None:
    """Make two small runs and use every verb once, so that a forked child has nothing left to import."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": range(200), "y": [0, 1] * 100}), "x.parquet")
    assert dl(*ENTRIES["parquet"][0], "paths.outputs=tables") == 0
    few = ("epochs=1", "limit=0.1", "limit_valid=0.1")
    small = ("model.encoder.widths=[4]", "model.decoder.widths=[4]", "model.importance=2")
    assert dl("train", "model=softmax", *few) == 0
    assert dl("train", "model=vae", *few, *small) == 0
    shutil.copytree("outputs", "kept")
    for command in ENTRIES["run"]:
        assert dl(*addressed(command, Path())) == 0
    shutil.rmtree("outputs")
    Path("kept").rename("outputs")


def runs(folder: Path) -> dict[str, str]:
    """Return the run folders below a folder by model, as words of a command."""
    found = sorted((folder / "outputs").glob("*/*"))
    return {path.parent.name.partition("-")[0]: str(path.relative_to(folder)) for path in found}


def addressed(command: Command, folder: Path) -> Command:
    """Return a command with the names of the run folders in it."""
    return tuple(word.format(**runs(folder)) if "{" in word else word for word in command)


def places(case: Case, inside: Path) -> list[Path]:
    """Return where the files of a case belong."""
    folders = [inside / path for path in runs(inside).values()]
    if case.kind == "checkpoint":
        return [path for run in folders for path in (run / "checkpoints").glob("*.safetensors")]
    if case.kind == "plain":
        known = {path for run in folders for path in run.rglob("*.json*") if path.name != "run.json"}
        return sorted(known | {run / "checkpoints/manifest.jsonl" for run in folders})
    if case.kind == "idx":
        return [inside / name for name in MNIST]
    return {
        "record": [run / "run.json" for run in folders],
        "scalars": [run / "scalars.csv" for run in folders],
        "stray": [inside / case.name, *(run / case.name for run in folders)],
        "folder": folders,
    }.get(case.kind) or [inside / FILES[case.kind]]


def commands(case: Case) -> tuple[Command, ...]:
    """Return the commands that could read the file of a case."""
    return ENTRIES.get(case.kind, ENTRIES["run"])


def observe(case: Case, command: Command, good: Path, tmp_path: Path) -> Verdict:
    """Put a case into a copy of the good runs, and run a command on it under the eyes of the witness."""
    inside = tmp_path / "inside"
    shutil.copytree(good, inside / "outputs")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/untouched").write_text("untouched")
    words = addressed(command, inside)
    for path in places(case, inside):
        path.parent.mkdir(parents=True, exist_ok=True)
        case.place(path)
    before = contents(tmp_path / "outside")
    verdict = witness(functools.partial(dl, *words), inside)
    if contents(tmp_path / "outside") != before:
        verdict.breaches.append("something outside was changed")
    if (tmp_path / "canary").exists():
        verdict.breaches.append("the canary is there")
    return verdict


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of everything below a folder."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def faults(verdict: Verdict) -> list[str]:
    """Return what a verdict shows of broken promises."""
    found = list(verdict.breaches)
    if verdict.code not in CODES:
        found.append(f"exit code {verdict.code}")
    if verdict.megabytes > 256:
        found.append(f"{verdict.megabytes:.0f} MiB")
    if verdict.code != 0 and verdict.seconds > 4:  # 2 s where nothing else runs
        found.append(f"{verdict.seconds:.1f} s to refuse")
    for line in (verdict.out + verdict.err).replace("\u2501", "").splitlines():
        if "Traceback" in line or "a fault of dl itself" in line or "hunter2" in line:
            found.append(line[:200])
        if not line.isprintable():
            found.append(f"terminal codes: {line!r:.100}")
        if len(line) > len("dl: ") + LONGEST:
            found.append(f"a line of {len(line)} characters")
    if verdict.code != 0 and not verdict.err.startswith(("dl: ", "warning: ")):
        found.append(f"no message: {verdict.err!r:.100}")
    return found


CASES = list(corpus())
PAIRS = [(case, command) for case in CASES for command in commands(case)]
QUICK = [(case, commands(case)[number % len(commands(case))]) for number, case in enumerate(CASES) if number % 60 == 0]


def label(value: Case | Command) -> str:
    """Name a case or a command in the list of tests."""
    return f"{value.kind} {value.name}" if isinstance(value, Case) else " ".join(value[:2])


def test_the_corpus_is_large():
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
    assert len(CASES) >= 250


@pytest.mark.parametrize(("case", "command"), QUICK, ids=lambda value: ascii(label(value)))
def test_hostile_files_are_refused(case, command, good, tmp_path):
    verdict = observe(case, command, good, tmp_path)
    assert not faults(verdict), (verdict.code, verdict.out[-500:], verdict.err[-2000:])


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", dict.fromkeys(case.kind for case in CASES))
def test_every_hostile_file_at_every_entry_point(kind, good, tmp_path):
    began, codes, broken = time.monotonic(), Counter[object](), {}
    for case, command in (pair for pair in PAIRS if pair[0].kind == kind):
        verdict = observe(case, command, good, tmp_path / "now")
        shutil.rmtree(tmp_path / "now")
        codes[verdict.code] += 1
        if found := faults(verdict):
            broken[label(case), " ".join(command)] = found, verdict.err[-300:]
    spent = f"{time.monotonic() - began:.0f} s"
    print(f"{kind}: {codes.total()} times, exit codes {dict(codes)}, {spent}, {broken or 'whole'}")
    assert not broken


@pytest.mark.parametrize("command", ENTRIES["run"], ids=lambda words: " ".join(words[:2]))
def test_good_runs_pass_the_same_witness(command, good, tmp_path):
    case = Case("stray", "notes.txt", lambda path: path.write_text("nothing"))
    verdict = observe(case, command, good, tmp_path)
    assert (verdict.code, verdict.breaches) == (0, []), verdict.err


@pytest.mark.parametrize("load", [pickle.loads, lambda content: exec(PYTHON)], ids=["pickle", "exec"])
def test_the_witness_sees_what_it_should_see(load, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    caught = witness(lambda: load(EVIL), inside)
    assert caught.breaches
    assert not (tmp_path / "canary").exists()
    witness(lambda: load(EVIL), inside, hook=False)
    assert (tmp_path / "canary").exists()
