"""FID and KID on features of Inception-v3, for users who have its weights as a safetensors file.

The file's names are those of the port to PyTorch (pytorch-fid, `pt_inception-2015-12-05`); that one is a pickle, which
`dl` does not read: docs/gans.md has the line that converts it.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from dlcli import disk, fidelity
from dlcli.config.build import build
from dlcli.engine import checkpoint
from dlcli.errors import ConfigError, DataError

NET = {"_target_": "dlcli.nets.inception.Inception"}
LARGEST = 2**28  # bytes of a file; 24 million weights take 2**26.5
UNUSED = ("fc.", "AuxLogits.")  # layers behind the features
AT_ONCE = 50  # pictures


def read(config: dict[str, Any], device: torch.device) -> tuple[Any, dict[str, Any]]:
    """Return the net with the weights of the file that `inception` names, and what the report says of them.

    Raises DataError for a file that cannot be read or is another than `inception_sha256` says, and CheckpointError
    for weights of another net.
    """
    path = Path(config["inception"]).expanduser()
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"inception={path}: larger than {LARGEST:,} bytes; this is no file of Inception-v3 alone")
        content = disk.read(path.resolve())
    except OSError as error:
        raise DataError(f"inception={path}: cannot be read ({error.strerror}); name a safetensors file") from error
    found, wanted = hashlib.sha256(content).hexdigest(), config["inception_sha256"]
    if wanted is not None and found != wanted.lower():
        raise DataError(f"inception={path} has SHA-256 {found}, not inception_sha256={wanted}: it is another file")
    net = build(NET)
    checkpoint.apply(net, weights(content, path), path)
    return net.to(device).eval(), {"file": str(path), "sha256": found}


def weights(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file under the names of the net, without the layers that it leaves out."""
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(
            f"inception={path}: no safetensors file ({error}); a .pth file is a program and is not read: "
            "docs/gans.md says how to convert it"
        ) from error
    kept = {name: value for name, value in tensors.items() if not name.startswith(UNUSED)}
    norms = [name.removesuffix("mean") for name in kept if name.endswith("running_mean")]
    counts = {name.removesuffix("running_") + "num_batches_tracked": torch.tensor(0) for name in norms}
    return counts | kept  # files of old versions of PyTorch have no counts, and nothing reads them


def verdict(net: Any, about: dict[str, Any], exam: Any, device: torch.device) -> dict[str, Any]:
    """Return the distances of the samples and of the reference from the real examples. Raises ConfigError."""
    if exam.real.ndim != 4 or exam.real.shape[1] not in (1, 3):
        raise ConfigError(
            f"inception={about['file']}: examples of shape {tuple(exam.real.shape[1:])}; Inception-v3 looks at "
            "pictures in grey or in colour"
        )
    real = features(net, exam.real, device)
    columns = {"samples": exam.samples, exam.against: exam.reference[: len(exam.samples)]}
    found = {name: features(net, x, device) for name, x in columns.items()}
    table = {
        "FID-Inception": {name: fidelity.frechet(real, x) for name, x in found.items()},
        "KID-Inception": {name: fidelity.squared_mmd(real, x, fidelity.cubic) for name, x in found.items()},
    }
    return {"inception": about | {"samples": len(exam.samples)}, "judged by Inception": table}


def features(net: Any, x: Tensor, device: torch.device) -> Tensor:
    """Return the features of pictures on the CPU, (N, C, H, W) -> (N, 2048)."""
    return torch.cat([net(part.to(device)).float().cpu() for part in x.split(AT_ONCE)])
