"""No source of the package may use what can turn data into code, outside a reviewed list."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dlcli

ROOT = Path(dlcli.__file__).parent
MODULES = {
    "pickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "runpy",
    "code",
    "pty",
    "ctypes",
    "imp",
}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "importlib.import_module",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "hydra.utils.get_method",
}
NAMES = {"instantiate", "extractall", "unpack_archive", "import_module", "read_pickle", "exec_module", "from_file"}
REVIEWED = {  # file and what it uses: why that is safe
    ("config/build.py", "importlib.import_module"): "modules of allowed packages, and classes defined there",
}  # fmt: skip


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything dangerous in a source."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        above = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
        for name in names:
            if (
                name.partition(".")[0] in MODULES
                or (above + name).partition(".")[0] in MODULES
                or above + name in CALLS
            ):
                yield node.lineno, above + name
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS or called.rpartition(".")[2] in NAMES or called.startswith(("torch.hub.", "pickle.")):
                yield node.lineno, called
            for word in node.keywords:
                if word.arg in ("allow_pickle", "shell", "weights_only", "trust_remote_code") and not (
                    isinstance(word.value, ast.Constant) and word.value.value == (word.arg == "weights_only")
                ):
                    yield node.lineno, f"{called}({word.arg}={ast.unparse(word.value)})"
            if called in ("np.load", "numpy.load") and not any(word.arg == "allow_pickle" for word in node.keywords):
                yield node.lineno, f"{called} without allow_pickle=False"


def test_nothing_can_turn_data_into_code():
    found = {
        (str(path.relative_to(ROOT)), name): line
        for path in sorted(ROOT.rglob("*.py"))
        for line, name in uses(path.read_text(encoding="utf-8"))
    }
    assert {place: line for place, line in found.items() if place not in REVIEWED} == {}
    assert not REVIEWED.keys() - found.keys(), "reviewed, but gone: take it off the list"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.parallel",
        "from torch import load, hub\ntorch.hub.list('x')",
        "from torch import load\nfrom yaml import load",
        "eval('1')",
        "__import__('os')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
        "hydra.utils.instantiate(node)",
        "from hydra.utils import instantiate\ninstantiate(node)",
        "from importlib import import_module",
        "importlib.import_module(name)",
        "import ctypes",
    ],
)
def test_the_lint_sees_what_it_should_see(source):
    assert list(uses(source))


def test_the_lint_leaves_the_rest_alone():
    assert not list(uses("import re, json\nre.compile('x')\nnp.load(path, allow_pickle=False)\nmodel.compile()"))
