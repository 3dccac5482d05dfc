"""The package as it is shipped: the wheel carries the configs, the README tells the truth."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dlcli.config import paths
from dlcli.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel and unpack it as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    site = folder / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(file),
    ]
    subprocess.run(install, check=True, capture_output=True)
    return site


def test_the_wheel_trains_from_any_folder(wheel, tmp_path):
    code = "import dlcli.config.paths as p; print(p.packaged()); from dlcli.cli import main; main()"
    words = [sys.executable, "-c", code, "train", "data=iris", "epochs=1"]
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(wheel / "dlcli" / "conf")
    assert len(list(tmp_path.glob("outputs/mlp-iris/*/checkpoints/best.safetensors"))) == 1
    shipped = {path.relative_to(wheel / "dlcli/conf") for path in (wheel / "dlcli/conf").rglob("*.yaml")}
    assert shipped == {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}


def test_the_readme_knows_every_option():
    for group in ("model", "data", "optimizer", "schedule", "init", "augment", "attack", "sampler", "device"):
        for option in paths.options(group):
            assert re.search(rf"[` ]{option}[` ,;|]", README), f"{group}={option} is not in the README"
    for code in EXIT_CODES:
        assert re.search(rf"\b{code} ", README), code


def commands() -> list[str]:
    """Return the `dl` commands of the README's console blocks that need no official data."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.S)
    found = [
        line[2:].partition("#")[0].strip() for block in blocks for line in block.splitlines() if line.startswith("$ dl")
    ]
    return [line for line in found if "mnist" not in line]


def test_every_command_of_the_readme_is_accepted(dl, undrawn):
    quick = {"train": ("epochs=1", "limit=0.1"), "eval": ("points=0",), "sample": (), "attack": ()}
    assert len(commands()) >= 7
    for line in commands():
        words = line.split()[1:]
        extra = [word for word in quick[words[0]] if word.split("=")[0] not in {w.split("=")[0] for w in words}]
        extra += ["hydra/launcher=basic"] if "-m" in words else []  # the jobs of a sweep in this process
        extra += ["model.importance=2"] if "model=vae" in words else []
        code, _, err = dl(*words, *extra)
        assert code == 0, f"{line}: {err}"


def test_the_variant_of_the_readme_works(dl, undrawn, tmp_path):
    (block,) = re.findall(r"```yaml\n(# @package.*?)```", README, re.S)
    (tmp_path / "mine/model").mkdir(parents=True)
    (tmp_path / "mine/model/wide.yaml").write_text(block, encoding="utf-8")
    code, out, err = dl("train", "--config-dir", "mine", "model=wide", "epochs=1", "limit=0.1")
    assert code == 0, err
    assert "1,628,170 weights" in out  # 784 * 2048 + 2048 + 2048 * 10 + 10


def test_dependencies_have_lower_bounds_and_are_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
        name = re.match(r"[\w-]+", requirement)[0].lower()
        assert ">=" in requirement
        assert name in pinned, name


def test_nothing_of_a_machine_stands_in_the_repository():
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    ).stdout.split()
    for name in tracked:
        if name.endswith((".py", ".md", ".yaml", ".toml", ".txt")):
            text = (ROOT / name).read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(work|root|tmp|home)/", text) or name == "tests/test_package.py", name
