"""A GPU in name only: its tensors live on the CPU, but as on a GPU they refuse to meet those that are not there.

A tensor of the device `pretend` wraps one of the CPU. Every operation unwraps its arguments, computes with real
numbers, and wraps the result; it raises where a real device would: operands on two devices, an index or a random
stream of the wrong one, a tensor that goes to numpy without `cpu()`. Call `install` in a process of its own, since
torch takes the device for an accelerator from then on.
"""

import contextlib
import copy
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretend"
HALF = (torch.bfloat16, torch.float16)
SINGLE = ("cholesky", "fft_", "inverse", "linalg_", "pinverse", "qr", "quantile", "stft", "svd")
lifted = torch._C._dispatch_has_kernel_for_dispatch_key
CROSSING = {"aten._to_copy.default", "aten.copy_.default", "aten._pack_padded_sequence.default"}  # may see both sides


def install() -> None:
    """Tell torch of the device."""
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    for name in ("empty_strided", "empty.memory_format"):
        torch.library.impl(f"aten::{name}", "privateuseone", created(name))
    torch.library.impl("aten::_copy_from", "privateuseone", copied)


def created(name: str) -> Callable[..., Tensor]:
    """Return what makes a tensor where torch asks below its own dispatcher."""
    act = torch.ops.aten.empty_strided.default if "strided" in name else torch.ops.aten.empty.memory_format

    def make(
        *sizes: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None, **rest: Any
    ):
        return Remote(act(*sizes, dtype=dtype, layout=layout, device=torch.device("cpu"), **rest))

    return make


def copied(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy between the devices, as torch does below its own dispatcher."""
    raw(target).copy_(raw(source))
    return target


class Remote(Tensor):
    """A tensor on the pretended device; `raw` is the one that computes."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Remote":
        return Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
            layout=raw.layout, device=torch.device(NAME, 0),
        )  # fmt: skip

    def __init__(self, raw: Tensor):
        self.raw = raw

    def tolist(self) -> Any:
        return self.raw.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert a {NAME} tensor to numpy; use cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, act: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return compute(act, given, named or {})


class Machine(TorchDispatchMode):
    """While it is entered, `device=` may name the pretended device."""

    def __torch_dispatch__(self, act: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return compute(act, given, named or {})


class Half(TorchFunctionMode):
    """While it is entered, operations refuse half precision that the autocast of a CPU lifts, but not that of a GPU."""

    def __torch_function__(self, act: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        name = getattr(act, "__name__", "")
        half = any(isinstance(leaf, Tensor) and leaf.dtype in HALF for leaf in tree_leaves((given, named)))
        if half and name.startswith(SINGLE) and not lifted(f"aten::{name}", "AutocastCUDA"):
            raise RuntimeError(f"{name}: not in half precision on a GPU, and its autocast does not lift it")
        return act(*given, **(named or {}))


def compute(act: Any, given: tuple, named: dict[str, Any]) -> Any:
    """Compute on the CPU what happens on either device; raise RuntimeError where they would meet."""
    leaves = tree_leaves((given, named))
    there = [leaf for leaf in leaves if isinstance(leaf, Remote)]
    asked = named.get("device")
    remote = torch.device(asked).type == NAME if asked is not None else bool(there)
    require_one_device(str(act), given, leaves, there, remote)
    if str(act) == "aten.copy_.default":
        raw(given[0]).copy_(raw(given[1]))
        return given[0]
    local = {name: value for name, value in named.items() if name != "pin_memory"}
    if asked is not None:
        local["device"] = torch.device("cpu")
    result = act(*tree_map(raw, given), **tree_map(raw, local))
    known = {id(tensor.raw): tensor for tensor in there}  # an operation in place gives back its argument

    def wrapped(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not remote:
            return leaf
        return known[id(leaf)] if id(leaf) in known else Remote(leaf)

    return tree_map(wrapped, result)


def require_one_device(name: str, given: tuple, leaves: list[Any], there: list[Any], remote: bool) -> None:
    """Raise RuntimeError if an operation sees tensors or random streams of two devices."""
    here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, Remote) and leaf.dim()]
    indexed = name == "aten.index.Tensor"  # indices of the CPU are allowed everywhere, others only at home
    if there and here and name not in CROSSING and not (indexed and isinstance(given[0], Remote)):
        raise RuntimeError(f"{name}: tensors on {NAME} and cpu, the latter {[tuple(leaf.shape) for leaf in here]}")
    if remote and any(isinstance(leaf, torch.Generator) and leaf.device.type == "cpu" for leaf in leaves):
        raise RuntimeError(f"{name}: a random stream of the cpu for a {NAME} tensor")


def raw(leaf: Any) -> Any:
    """Return the tensor that computes."""
    return leaf.raw if isinstance(leaf, Remote) else leaf


def moved(batch: Any) -> Any:
    """Return a batch on the device."""
    if isinstance(batch, Tensor):
        return Remote(batch)
    named = isinstance(batch, tuple) and hasattr(batch, "_fields")
    return type(batch)(*map(moved, batch)) if named else batch


def without_kernels(model: nn.Module) -> None:
    """Let recurrent nets compute by their equations: the device has no fused kernels for them."""
    from dlcli.nets.recurrent import Recurrent

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Recurrent):
                child.fused = False
            elif isinstance(child, nn.GRU) and not isinstance(module, Recurrent):
                setattr(
                    module, name, Recurrent(cell="gru", inputs=child.input_size, width=child.hidden_size, fused=False)
                )


def settle(model: nn.Module) -> None:
    """Put all weights and buffers of a model on the device."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(Remote(weight.detach()), requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else Remote(buffer)


def rehearse(words: list[str]) -> None:
    """Build a family on the CPU, step in bf16, move it to the device; let it learn, measure, show and sample there."""
    from dlcli.config.check import check
    from dlcli.errors import ConfigError
    from dlcli.model import Clock
    from dlcli.samplers import Prior
    from dlcli.verbs.prepare import prepare

    made = prepare(check("train", [*words, "device=cpu", "batch=64", "limit_valid=0.1"]))
    model, near = made.engine.model.train(), next(iter(made.train.epoch(0)))
    with torch.autocast("cpu", torch.bfloat16), Half():
        next(iter(copy.deepcopy(model).updates(near, Clock(0, 100, 0))), None)
    batch = moved(near)
    without_kernels(model)
    settle(model)
    with Machine():
        for step in (0, 40, 99):  # of a hundred: every stage of a greedy net
            for update in model.updates(batch, Clock(step, 100, 0)):
                if update.loss is not None:
                    update.loss.backward()
        model.eval()
        with torch.no_grad():
            model.score({name: values.cpu() for name, values in model.measure(batch).items()})
            model.show(batch)
            with contextlib.suppress(ConfigError):  # it does not generate
                model.sample(4, Prior())


def main() -> None:
    """Rehearse families, `+` between the words of each, and print what went wrong; or run one command: -- WORDS."""
    install()
    torch.set_num_threads(1)
    if sys.argv[1] == "--":
        from dlcli import cli

        sys.argv[:2] = ["dl"]
        with Machine():
            cli.main()
    faults = {}
    for family in sys.argv[1:]:
        try:
            rehearse(family.split("+"))
        except Exception as error:
            faults[family] = f"{type(error).__name__}: {error}", traceback.format_exc()
    print(json.dumps(faults))


if __name__ == "__main__":
    main()
