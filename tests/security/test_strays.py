"""Modules in the working directory that are named like those of a package: no process of `dl` may import them."""

import subprocess
from pathlib import Path

import pytest
from corpus import MODULES
from payloads import PYTHON
from PIL import Image

from dlcli import child
from dlcli.data.decode import Wanted
from dlcli.data.workers import Workers


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """Return the file that any module of the working directory makes when it is imported."""
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    for name in [*MODULES, "PIL", "signal", "struct"]:
        (tmp_path / f"{name}.py").write_text(PYTHON)
    return tmp_path / "canary"


def test_pictures_of_a_folder_are_decoded_without_them(canary):
    Image.new("L", (4, 4), 7).save("a.png")
    pool = Workers(1)
    try:
        (pixels,) = pool.read([Wanted("a.png", 4, 4, 1)])
    finally:
        pool.end()
    assert not canary.exists()
    assert pixels.tolist() == [[[7] * 4] * 4]


def test_a_job_of_a_sweep_starts_without_them(canary):
    subprocess.run(child.command("dlcli.job"), capture_output=True, check=False)  # it misses its words, and ends
    assert not canary.exists()
