"""Low-rank changes: shapes, start, equality with the merged net, and files that lie about them."""

import functools

import pytest
import torch
from torch import nn

from dlcli.engine.freezing import freeze
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.lora import LowRank, attach, merged, plain
from dlcli.engine.precision import Precision
from dlcli.errors import CheckpointError, ConfigError
from dlcli.model import Model
from dlcli.nets.layers import Picture
from dlcli.nets.lenet import LeNet5

DIGITS = {"channels": 1, "height": 28, "width": 28}


def adapted(rank=4, layers=("*",), learn=(), net=None):
    torch.manual_seed(0)
    net = net or LeNet5(picture=Picture(**DIGITS), classes=10)
    attach(net, rank=rank, alpha=8.0, layers=layers, learn=learn)
    return net


def disturb(net):
    """Give the factors values that change something."""
    for name, p in net.named_parameters():
        if name.endswith(".up"):
            nn.init.normal_(p, std=0.3)
    return net


@torch.no_grad()
def test_it_starts_from_exactly_the_net_that_was_there():
    torch.manual_seed(0)
    net = LeNet5(picture=Picture(**DIGITS), classes=10)
    x = torch.rand(4, 1, 28, 28)
    before = net(x)
    assert adapted(net=net)(x).equal(before)


@pytest.mark.parametrize("rank", [1, 4])
def test_factors_have_the_rank_and_the_count_that_was_asked_for(rank):
    net = adapted(rank)
    freeze(net, [], [])
    sizes = [(6, 25), (16, 150), (120, 400), (84, 120), (10, 84)]  # outputs and inputs of each weight as a matrix
    learning = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert learning == sum(rank * (out + inside) for out, inside in sizes)
    disturb(net)
    for layer, (out, inside) in zip((1, 4, 8, 10, 12), sizes, strict=True):
        module = net.layers[layer]
        change = (module.weight - module.parametrizations.weight.original).flatten(1)
        assert change.shape == (out, inside)
        assert torch.linalg.matrix_rank(change, rtol=1e-4) == rank


def test_a_rank_above_that_of_the_weight_is_cut():
    assert LowRank(torch.zeros(6, 1, 5, 5), rank=64, alpha=1.0).down.shape == (6, 25)


def test_the_head_may_learn_as_a_whole():
    net = adapted(2, learn=["layers.12.*"])
    freeze(net, [], ["layers.12.*"])
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert {"layers.12.weight", "layers.12.bias"} < learning
    assert "layers.12.parametrizations.weight.original" not in dict(net.named_parameters())
    assert all(name.endswith((".up", ".down")) for name in learning - {"layers.12.weight", "layers.12.bias"})


@torch.no_grad()
@pytest.mark.parametrize(
    "net",
    [
        LeNet5(picture=Picture(**DIGITS), classes=10),
        nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.ConvTranspose2d(4, 3, 3, groups=1)),
        nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(4, 8, 3, groups=2, padding=1, stride=2)),
    ],
)
def test_merged_weights_give_the_same_outputs_in_the_plain_net(net):
    import copy

    fresh = copy.deepcopy(net)
    disturb(adapted(3, net=net))
    fresh.load_state_dict(merged(net.state_dict()))
    x = torch.rand(5, 1, 28, 28)
    assert (fresh(x) - net(x)).abs().max() <= 1e-6
    assert not any("parametrizations" in name for name in merged(net.state_dict()))


def test_plain_weights_pass_through_unchanged():
    weights = nn.Linear(2, 3).state_dict()
    assert merged(weights) == weights
    assert plain("a.parametrizations.weight.original") == "a.weight"
    assert plain("a.weight") == "a.weight"


def test_files_whose_factors_do_not_fit_are_refused():
    good = disturb(adapted(2)).state_dict()
    part = "layers.8.parametrizations.weight"
    for name, value in (
        (f"{part}.0.up", torch.zeros(120, 3)),
        (f"{part}.0.up", torch.zeros(10**6, 2)),
        (f"{part}.0.down", torch.zeros(2, 10**6)),
        (f"{part}.0.scale", torch.zeros(5)),
        (f"{part}.original", torch.zeros(7)),
    ):
        with pytest.raises(CheckpointError, match=r"layers.8.weight: damaged, its low-rank factors"):
            merged(good | {name: value})
    with pytest.raises(CheckpointError, match="damaged"):
        merged({name: value for name, value in good.items() if name != f"{part}.0.down"})


def test_layers_that_are_not_there_are_told():
    with pytest.raises(ConfigError, match=r"lora.layers=\['head'\]: no linear or convolutional layer .* layers.1, "):
        adapted(2, layers=["head"])


def test_only_the_factors_move_and_the_loss_falls():
    class Rule(Model):
        def __init__(self):
            super().__init__()
            self.net = adapted(2, net=nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 2)))

        def loss(self, batch):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    torch.manual_seed(0)
    x = torch.randn(64, 6)
    batch, rule = (x, (x[:, 0] > x[:, 1]).long()), Rule()
    before = {name: value.clone() for name, value in rule.state_dict().items()}
    optimizer = functools.partial(torch.optim.Adam, lr=3e-2)
    engine = Engine(rule, optimizer, settings=Settings(), precision=Precision(torch.device("cpu"), "fp32"))
    assert engine.held == [rule.net[1]]
    first = rule.loss(batch).item()
    for _ in range(60):
        engine.take_steps(batch)
    assert rule.loss(batch).item() < 0.3 * first
    changed = {name for name, value in rule.state_dict().items() if not value.equal(before[name])}
    assert changed >= {f"net.{layer}.parametrizations.weight.0.{part}" for layer in (0, 3) for part in ("up", "down")}
    assert all(name.endswith((".up", ".down")) or "running" in name or "tracked" in name for name in changed)


def test_other_parametrizations_keep_their_names():
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), nn.Linear(3, 2))
    assert merged(net.state_dict()).keys() == net.state_dict().keys()
    attach(net, rank=1, alpha=1.0, layers=["*"])
    assert [name for name in merged(net.state_dict()) if name.startswith("1.")] == ["1.bias", "1.weight"]
    assert any("original" in name for name in merged(net.state_dict()))
