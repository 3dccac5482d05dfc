"""Muon against torch's Muon on matrices, torch's AdamW on the rest, and the singular value decomposition."""

import copy

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.optimizers import Muon, orthogonalize


def twins(*shapes: tuple[int, ...]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    generator = torch.Generator().manual_seed(1)
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    return [nn.Parameter(v.clone()) for v in values], [nn.Parameter(v.clone()) for v in values]


def same_gradients(ours, theirs, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for a, b in zip(ours, theirs, strict=True):
        a.grad = torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5)])
def test_muon_moves_matrices_as_torchs_muon(shape):
    ours, theirs = twins(shape)
    a = Muon(ours, lr=0.1, momentum=0.9, weight_decay=0.05)
    b = torch.optim.Muon(theirs, lr=0.1, momentum=0.9, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for seed in range(6):
        theirs[0].data.copy_(ours[0].data)
        before = theirs[0].detach().clone()
        same_gradients(ours, theirs, seed)
        a.step()
        b.step()
        step = (theirs[0] - before).norm()
        assert (ours[0] - theirs[0]).norm() < 0.05 * step  # torch's iteration rounds to bfloat16


def test_muon_moves_vectors_and_exempt_matrices_as_torchs_adamw():
    ours, theirs = twins((7,), (), (4, 3))
    groups = [{"params": ours[:2]}, {"params": ours[2:], "orthogonal": False}]
    a, b = Muon(groups, lr=0.01, weight_decay=0.1), torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1)
    for seed in range(6):
        same_gradients(ours, theirs, seed)
        a.step()
        b.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e10])
@pytest.mark.parametrize("shape", [(16, 16), (10, 40), (40, 10)])
def test_orthogonalize_agrees_with_the_singular_value_decomposition(shape, scale):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2)) * scale
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalize(matrix) @ vh.T  # diagonal in the same singular vectors
    values = inner.diagonal()
    assert (inner - values.diag()).abs().max() < 1e-3
    assert values.min() > 0.6
    assert values.max() < 1.25


@pytest.mark.parametrize("shape", [(6, 2, 3, 3), (40, 2, 3, 3)])
def test_muon_treats_a_kernel_as_a_matrix(shape):
    (kernel,), (matrix,) = twins(shape)
    flat = nn.Parameter(matrix.detach().flatten(1))
    a, b = Muon([kernel]), Muon([flat])
    for seed in range(3):
        kernel.grad = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        flat.grad = kernel.grad.flatten(1)
        a.step()
        b.step()
    torch.testing.assert_close(kernel.detach().flatten(1), flat.detach(), rtol=0, atol=1e-7)


def test_a_restored_muon_goes_on_to_the_same_bits():
    ours, theirs = twins((4, 6), (5,))
    a, b = Muon(ours), Muon(theirs)
    for seed in range(3):
        same_gradients(ours, theirs, seed)
        a.step()
    for mine, other in zip(ours, theirs, strict=True):
        other.data.copy_(mine.data)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    for seed in range(3, 6):
        same_gradients(ours, theirs, seed)
        a.step()
        b.step()
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_muon_leaves_parameters_without_gradient_and_survives_zero_gradients():
    still, moved = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    moved.grad = torch.zeros(3, 3)
    Muon([still, moved], weight_decay=0.0).step()
    assert torch.equal(still, torch.ones(3, 3))
    assert torch.equal(moved, torch.ones(3, 3))


def test_muon_refuses_a_momentum_that_never_forgets():
    with pytest.raises(ConfigError, match=r"optimizer\.momentum=1\.0 must lie in \[0, 1\)"):
        Muon([nn.Parameter(torch.ones(1))], momentum=1.0)
