"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
import torch

from dlcli.cli import app  # noqa: F401 (imported once, so that no test pays for it)

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Skip what is marked `long` unless DL_LONG asks for it."""
    if not os.environ.get("DL_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="set DL_LONG=1 for what takes more than a minute"))


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    """Give each test an empty folder, a fixed seed, and nobody else's settings."""
    monkeypatch.chdir(tmp_path)
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
def real_data() -> Path:
    """Return the folder of the official data sets, or skip."""
    folder = Path(os.environ.get("DL_DATA", ""))
    if not os.environ.get("DL_DATA") or not (folder / "mnist").is_dir():
        pytest.skip("set DL_DATA to a folder with the official data sets")
    return folder
