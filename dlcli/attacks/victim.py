"""What stands between an attack and a net: counting what is asked, several nets as one, and what must not change."""

import hashlib
import random
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.attacks.objective import Classifier


class Counted:
    """A classifier that counts the pictures it is asked about, and those whose gradient is asked for as well."""

    def __init__(self, classifier: Classifier):
        self.classifier, self.queries, self.gradients = classifier, 0, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.queries += len(x)
        self.gradients += len(x) if x.requires_grad else 0
        return self.classifier(x)


class Together:
    """Several classifiers as one: the mean of their log-probabilities (Liu et al. 2017, arXiv:1611.02770)."""

    def __init__(self, classifiers: Sequence[Classifier]):
        self.classifiers = classifiers

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.classifiers) == 1:
            return self.classifiers[0](x)
        return torch.stack([classifier(x).float().log_softmax(1) for classifier in self.classifiers]).mean(0)


def fingerprint(net: nn.Module) -> str:
    """Return a SHA-256 of weights and buffers: who was attacked."""
    total = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def likeness(examples: Iterable[tuple[Tensor, Tensor]]) -> str:
    """Return a SHA-256 of pictures and classes in their order, however they are cut into batches."""
    totals = hashlib.sha256(), hashlib.sha256()
    for example in examples:
        for total, part in zip(totals, example, strict=True):
            total.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return hashlib.sha256(b"".join(total.digest() for total in totals)).hexdigest()


def streams() -> str:
    """Return a SHA-256 of the streams of random numbers: python's, numpy's, torch's and, where it is in use, CUDA's."""
    total = hashlib.sha256(repr((random.getstate(), np.random.get_state(legacy=False))).encode())
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    for state in (torch.get_rng_state(), *cuda):
        total.update(state.numpy().data)
    return total.hexdigest()


def condition(net: nn.Module) -> dict[str, str]:
    """Return what an attack must leave as it was: weights, modes, gradients and the streams of random numbers."""
    wants = [(name, p.requires_grad, p.grad is None) for name, p in net.named_parameters()]
    return {
        "weights and buffers": fingerprint(net),
        "modes": str([module.training for module in net.modules()]),
        "gradients": str(wants),
        "random streams": streams(),
    }


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what differs."""
    return [name for name in before if before[name] != after[name]]


def training(nets: Iterable[nn.Module]) -> bool:
    """Tell whether any part of a net is in train mode, in which examples of a batch would mix."""
    return any(module.training for net in nets for module in net.modules())
