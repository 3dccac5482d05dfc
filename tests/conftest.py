"""Fixtures that every test may use."""

import contextlib
import copy
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from PIL import Image

from dlcli.cli import app  # noqa: F401 (imported once, so that no test pays for it)

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip what is marked `long` unless DL_LONG asks for it."""
    if not os.environ.get("DL_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="set DL_LONG=1 for what takes more than a minute"))


@pytest.fixture(scope="session", autouse=True)
def _parsed_once():
    """Parse a config file again only when it has changed: a command reads some of them four times."""
    real, known = OmegaConf.load, {}

    def load(file):
        found = os.stat(file.name if hasattr(file, "read") else file)
        key = found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
        if key not in known:
            known[key] = real(file)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", load)
        yield


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    """Give each test an empty folder, a fixed seed, nobody else's settings, and a disk that is synced at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power fails here; test_power.py lets it fail
    monkeypatch.delenv("DL_CONF", raising=False)
    monkeypatch.setenv("DL_OFFLINE", "1")
    torch.manual_seed(0)
    yield
    torch.set_grad_enabled(True)


@pytest.fixture
def dl(monkeypatch, capfd):
    """Return a function that runs `dl WORDS` in this process and gives exit code, stdout and stderr."""
    from dlcli import cli

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dl", *words])
        monkeypatch.setenv("COLUMNS", "120")
        code = 0
        try:
            cli.main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def undrawn(request, monkeypatch):
    """Save blank pictures for figures where these are not what is tested: to draw them takes longer than the rest.

    A test that asks for `drawn` has them nevertheless.
    """
    if "drawn" not in request.fixturenames:

        def blank(figure, file, format="png"):
            Image.new("RGB", (8, 8)).save(file, format)

        monkeypatch.setattr(Figure, "savefig", blank)


@pytest.fixture
def drawn():
    """Have figures drawn in a file of tests that leaves them out otherwise."""


@pytest.fixture(scope="session")
def _kept(tmp_path_factory) -> tuple[Path, dict[tuple[str, ...], Path]]:
    """Return a folder for runs that several tests start from, and which are there already."""
    return tmp_path_factory.mktemp("runs"), {}


@pytest.fixture
def trained(dl, _kept) -> Callable[..., Path]:
    """Return a function that gives the run of `dl train WORDS`: trained once, and for each test a copy of its own."""
    folder, known = _kept

    def run(*words: str) -> Path:
        if words not in known:
            place = folder / str(len(known))
            place.mkdir()
            with contextlib.chdir(place):
                code, _, err = dl("train", *words)
            assert code == 0, err
            (known[words],) = (path.parent for path in place.glob("outputs/*/*/run.json"))
        made = known[words]
        return shutil.copytree(made, Path("outputs", made.parent.name, made.name))

    return run


@pytest.fixture
def real_data() -> Path:
    """Return the folder of the official data sets, or skip."""
    folder = Path(os.environ.get("DL_DATA", ""))
    if not os.environ.get("DL_DATA") or not (folder / "mnist").is_dir():
        pytest.skip("set DL_DATA to a folder with the official data sets")
    return folder
