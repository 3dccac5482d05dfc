"""Choose the device, and say why; never fall back in silence."""

from typing import NamedTuple

import torch

from dlcli.errors import ConfigError


class Choice(NamedTuple):
    """A device and the reason for it."""

    device: torch.device
    reason: str


def choose(name: str, index: int = 0, threads: int | None = None) -> Choice:
    """Return the device that a config asks for. Raises ConfigError if it is not there."""
    if threads:
        torch.set_num_threads(threads)
    if name == "cuda":
        return cuda(index)
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device=mps: no Apple GPU here; use device=cpu or device=auto")
        return Choice(torch.device("mps"), "asked for")
    if name == "cpu" or not torch.accelerator.is_available():
        reason = "asked for" if name == "cpu" else "no GPU found"
        threads = torch.get_num_threads()
        return Choice(torch.device("cpu"), f"{reason}; {threads} thread{'s' if threads > 1 else ''}")
    found = torch.accelerator.current_accelerator()
    return cuda(index) if found is not None and found.type == "cuda" else Choice(torch.device(str(found)), "found")


def cuda(index: int) -> Choice:
    """Return one NVIDIA GPU. Raises ConfigError if it is not there."""
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or index >= count:
        cure = "use device=cpu or device=auto" if count == 0 else f"device.index must be below {count}"
        built = "" if torch.version.cuda else " (this torch is built without CUDA)"
        raise ConfigError(f"device=cuda: {count} GPUs found{built}, index {index} asked for; {cure}")
    torch.backends.cudnn.allow_tf32 = False  # what is said to be fp32 has 24 bits; training in bf16 is quick without it
    return Choice(torch.device("cuda", index), torch.cuda.get_device_name(index))
