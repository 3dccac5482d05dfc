"""Who may import whom, and how long things may be: the architecture as a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import dlcli

ROOT = Path(dlcli.__file__).parent

LEAVES = {"child", "disk", "errors", "jsonfile", "lock", "text", "tokens"}  # everyone may import these
ALLOWED = {
    "cli": {"arguments", "guide", "verbs", "config", "run"},
    "arguments": {"config", "run"},
    "guide": {"config"},
    "job": {"sweep", "verbs"},
    "sweep": {"config", "run"},
    "verbs": {"sweep", "config", "engine", "model", "batch", "data", "attacks", "log", "run", "figures", "seeing"}
    | {"analogies", "fidelity", "samplers"},
    "config": set(),
    "engine": {"model", "log", "schedules", "batch"},
    "models": {"model", "batch", "losses", "metrics", "figures", "samplers", "decoding", "analogies"},
    "data": {"batch"},
    "nets": set(),
    "penalties": {"losses"},
    "attacks": {"losses"},
    "seeing": {"figures"},
    "model": {"batch"},
    "__main__": {"cli"},
}


def modules() -> Iterator[tuple[Path, str, ast.Module]]:
    """Yield path, name of the place and syntax tree of each module."""
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        if relative.parts[0] not in ("_plugins", "__init__.py"):
            yield path, relative.parts[0].removesuffix(".py"), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and module of each import from the package."""
    for node in ast.walk(tree):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if isinstance(node, ast.ImportFrom) and node.module == "dlcli":
            names = [f"dlcli.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from ((node.lineno, name) for name in names)


def breaches() -> Iterator[str]:
    """Yield a line for every import that the table does not allow."""
    for path, here, tree in modules():
        for line, name in imported(tree):
            there = name.split(".")[1] if name.startswith("dlcli.") else ""
            if there and there not in {here, "__version__"} | LEAVES | ALLOWED.get(here, set()):
                yield f"{path.relative_to(ROOT)}:{line}: {here} must not import {there}"


def test_imports_go_one_way():
    assert not list(breaches())


def test_the_command_line_starts_without_torch_and_hydra():
    import subprocess
    import sys

    slow = ("torch", "hydra", "omegaconf", "sklearn", "matplotlib", "numpy")
    code = f"import sys, dlcli.cli; print([name for name in {slow} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_everything_is_short():
    too_long = []
    for path, _, tree in modules():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > 250:
            too_long.append(f"{path.name}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                count = len([a for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")])
                if length > 40 or count > 9:
                    too_long.append(f"{path.name}:{node.lineno} {node.name}: {length} lines, {count} arguments")
    assert not too_long


def test_everything_public_has_a_docstring():
    bare = []
    for path, _, tree in modules():
        bare += [] if ast.get_docstring(tree) or not tree.body else [path.name]
        for node in tree.body:
            named = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            bare += [f"{path.name}:{node.lineno}"] if named and not ast.get_docstring(node) else []
    assert not bare
