"""What tests of many attacks share: small nets, pictures, and every attack of the config in a size that is quick."""

import importlib
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from sklearn.datasets import load_digits
from torch import Tensor, nn

from dlcli.batch import Images

CONF = Path(__file__).parents[2] / "conf" / "attack"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
COUNT, SIZE = 24, 16
INDEX = torch.arange(COUNT)
QUICK = {"steps": 5, "searches": 3, "queries": 40, "passes": 2, "draws": 3, "samples": 10, "turns": 5, "population": 8}
SIZES = {"linf": 0.12, "l2": 0.5, "l1": 1.5, "l0": 4.0, "none": 1.0}


def pictures(low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    return low + (high - low) * torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def curved(classes: int = 5, sharpness: float = 3) -> nn.Module:
    """A random net with a hidden layer: curved enough for walks to go astray."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 24), nn.Tanh(), nn.Linear(24, classes)).eval()
        net[1].weight.data *= sharpness
        net[3].bias.data -= net(pictures(seed=5)).mean(0).detach()  # every class occurs
        return net


def learned(*layers: nn.Module) -> tuple[nn.Module, Tensor, Tensor]:
    """Train a net on 1,000 handwritten digits of 8 x 8 pixels; return it, and 60 others with their classes."""
    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = (x / 16).float().view(-1, 1, 8, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(*layers)
        for layer in net:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(net(x[:1000]), y[:1000]).backward()
            optimizer.step()
    return net.eval(), x[1000:1060], y[1000:1060]


def linear(classes: int = 5) -> nn.Module:
    """A linear net whose borders pass near the middle of the box."""
    generator = torch.Generator().manual_seed(4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, classes)).eval()
    net[1].weight.data = torch.randn(classes, SIZE, generator=generator)
    net[1].bias.data = -net[1].weight.data.sum(1) / 2 + 0.1 * torch.randn(classes, generator=generator)
    return net


def one_by_one(net):
    """A classifier whose arithmetic cannot depend on the batch."""
    return lambda x: torch.cat([net(x[i : i + 1]) for i in range(len(x))])


def configured(option: str, net, quick: bool = True, **changes):
    """Build an attack as the config has it, and let it learn what it may."""
    node = yaml.safe_load((CONF / f"{option}.yaml").read_text()) | {"seed": 0}
    node |= {key: few for key, few in QUICK.items() if quick and key in node}
    node |= {"eps": SIZES[node["norm"]]} | changes
    module, _, name = node.pop("_target_").rpartition(".")
    other = pictures(seed=9)
    with torch.no_grad():
        batch = Images(other, net(other).argmax(1))
    return getattr(importlib.import_module(module), name)(**node).fitted(net, [batch])


def wins(net, x_adv: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return net(x_adv).argmax(1) != y
