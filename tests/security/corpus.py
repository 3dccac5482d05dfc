"""The corpus: hostile files by the name that they bear in a run folder or on the command line."""

import json
import struct
from collections.abc import Iterator

from inputs import IDX, PARQUET, TABLES, arrays
from payloads import ARCHIVES, EVIL, PICKLES, PYTHON
from places import ODD, Case, lead_folder_out, lead_out, put
from records import SCALARS, STATUS, TEXTS, records
from tensors import MALFORMED, SEALED

MODULES = ["dl", "dlcli", "torch", "json", "numpy", "sitecustomize", "usercustomize", "stranger", "conftest", "rich"]
STRAYS = {
    **{f"{name}.py": PYTHON.encode() for name in MODULES},
    "x.pth": PYTHON.encode(),
    "pyproject.toml": b"[tool.x]\n",
    ".env": b"LD_PRELOAD=./x.so\n",
    "checkpoints/last.pt": ARCHIVES["torch zip"],
    "checkpoints/pytorch_model.bin": EVIL,
    "checkpoints/.metadata": EVIL,
    ".hydra/config.yaml": b"_target_: os.system\nhydra: {job_logging: {handlers: {x: {(): os.system, command: x}}}}\n",
    ".hydra/hydra.yaml": b"hydra: {job: {env_set: {LD_PRELOAD: x}}, launcher: {_target_: os.system}, searchpath: [file:///tmp]}\n",
    ".hydra/overrides.yaml": b"- hydra.launcher._target_=os.system\n",
    ".hydra/config.pickle": EVIL,
    "events.out.tfevents.9999999999.stranger": struct.pack("<Q", 2**62) + b"\xff" * 64,
}  # fmt: skip


def corpus() -> Iterator[Case]:
    """Yield all cases."""
    for name, content in {**PICKLES, **ARCHIVES, **MALFORMED}.items():
        yield Case("checkpoint", name, put(content))
    for name, place in {**SEALED, **ODD}.items():
        yield Case("checkpoint", name, place)
    yield from records()
    for kind in ("record", "plain"):
        yield from (Case(kind, name, put(content)) for name, content in TEXTS.items())
        yield from (Case(kind, name, place) for name, place in ODD.items())
    yield from (Case("plain", name, put(json.dumps(content).encode())) for name, content in STATUS.items())
    yield from (Case("scalars", name, put(content)) for name, content in SCALARS.items())
    yield from (Case("scalars", name, place) for name, place in ODD.items())
    yield from (Case("stray", name, put(content)) for name, content in STRAYS.items())
    yield Case("folder", "name with terminal codes", lambda run: run.rename(run.with_name("\x1b[2J[red]\u202e")))
    yield Case("folder", "checkpoints that lead out", lambda run: lead_folder_out(run / "checkpoints"))
    yield Case("folder", "figures that lead out", lambda run: lead_folder_out(run / "figures"))
    yield Case("folder", "samples that lead out", lambda run: lead_folder_out(run / "samples"))
    yield Case("folder", "attacks that lead out", lambda run: lead_folder_out(run / "attacks"))
    yield Case("folder", "a figure that leads out", lambda run: lead_out(run / "figures/test-confusion.png"))
    yield Case(
        "folder",
        "an export that leads out",
        lambda run: (run / "export").mkdir() or lead_folder_out(run / "export/safetensors"),
    )
    yield from (Case("arrays", name, put(content)) for name, content in arrays())
    yield from (Case("arrays", name, ODD[name]) for name in ODD if name != "link out of the run")
    yield from (Case("table", name, put(content)) for name, content in TABLES.items())
    yield from (Case("table", name, ODD[name]) for name in ODD if name != "link out of the run")
    yield from (Case("parquet", name, put(content)) for name, content in PARQUET.items())
    yield from (Case("idx", name, put(content)) for name, content in IDX.items())
    yield from (Case("idx", name, place) for name, place in ODD.items())
