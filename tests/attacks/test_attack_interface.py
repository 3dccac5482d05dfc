"""What every attack takes, refuses and leaves as it was; and the options of the config."""

import importlib
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from dlcli.attacks.ball import direction, length
from dlcli.attacks.deepfool import DeepFool
from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.noise import Noise
from dlcli.attacks.objective import cross_entropy, dlr, margin, slope
from dlcli.attacks.pgd import PGD
from dlcli.attacks.shared import Universal
from dlcli.batch import Images
from dlcli.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf" / "attack"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
QUICK = {"steps": 4, "searches": 2, "queries": 30, "passes": 2, "draws": 2, "samples": 10, "turns": 3}
X = torch.rand(5, 1, 3, 3, generator=torch.Generator().manual_seed(0))
Y, INDEX = torch.tensor([0, 1, 2, 3, 0]), torch.arange(5)
NET = nn.Sequential(nn.Flatten(), nn.Linear(9, 4))
FITTING = {"pgd_l1": {"eps": 3.0}}  # pictures of nine pixels have no room for the size of the config


def refusing(x):
    pytest.fail("computed")


def from_config(option: str, **changes):
    node = yaml.safe_load((CONF / f"{option}.yaml").read_text()) | {"seed": 0} | changes
    node |= {"eps": 4.0} if option == "patch" and "eps" not in changes else {}
    node |= {key: few for key, few in QUICK.items() if key in node}
    module, _, name = node.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), name)(**node).fitted(NET, [Images(X, Y)])


def test_the_config_offers_each_attack_in_its_norm():
    built = {option: from_config(option) for option in OPTIONS}
    assert {name: (type(a).__name__, a.norm, a.eps) for name, a in built.items()}.items() >= {
        "fgm_l2": ("FGSM", "l2", 2.0),
        "fgsm": ("FGSM", "linf", 0.1),
        "noise": ("Noise", "linf", 0.1),
        "bim": ("PGD", "linf", 0.1),
        "mifgsm": ("PGD", "linf", 0.1),
        "pgd": ("PGD", "linf", 0.1),
        "pgd_l2": ("PGD", "l2", 2.0),
        "pgd_l1": ("PGD", "l1", 12.0),
    }.items()
    for option, attack in built.items():
        keys = yaml.safe_load((CONF / f"{option}.yaml").read_text()).keys() - {"_target_"}
        assert keys == {field.name for field in fields(attack)} - {"stop", "change"}  # what no user gives


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("target", [None, "least", "all", 2])
def test_size_zero_returns_the_input_bit_for_bit(option, target):
    try:
        attack = from_config(option, eps=0.0, target=target)
    except ConfigError as error:  # one change for all pictures has one target; a whole arsenal chooses its own
        assert "attack.target=" in str(error)  # noqa: PT017
        return
    x_adv = attack(NET, X, Y, INDEX)
    assert torch.equal(x_adv, X)
    assert x_adv.data_ptr() != X.data_ptr()


@pytest.mark.parametrize("option", OPTIONS)
def test_a_constant_net_is_never_fooled_and_gives_no_error(option):
    x_adv = from_config(option, **FITTING.get(option, {}))(lambda x: torch.ones(len(x), 4), X, Y, INDEX)
    assert x_adv.isfinite().all()
    assert ((x_adv >= 0) & (x_adv <= 1)).all()
    assert x_adv.dtype == torch.float32


@pytest.mark.parametrize("option", OPTIONS)
def test_an_attack_works_without_gradients_around_it_and_in_float32_under_autocast(option):
    seen = set()

    def net(x):
        seen.add(NET[1](x.flatten(1)).dtype)
        return NET(x)

    attack = from_config(option, **FITTING.get(option, {}))
    expected = attack(NET, X, Y, INDEX)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = attack(net, X, Y, INDEX)
    assert torch.equal(found, expected)
    assert seen <= {torch.float32}
    assert not found.requires_grad


def test_targets():
    logits = torch.tensor([[3.0, 1.0, 0.0, 2.0], [0.0, -5.0, 1.0, 2.0]])
    y = torch.tensor([0, 1])
    assert FGSM(eps=0.1).targets(logits, y, INDEX[:2]) is None
    assert FGSM(eps=0.1, target=3).targets(logits, y, INDEX[:2]).tolist() == [3, 3]
    assert FGSM(eps=0.1, target="least").targets(logits, y, INDEX[:2]).tolist() == [2, 0]  # never the true class
    y = torch.arange(4).repeat(1000)
    drawn = FGSM(eps=0.1, target="random").targets(torch.zeros(4000, 4), y, torch.arange(4000))
    table = torch.zeros(4, 4).index_put((y, drawn), torch.ones(4000), accumulate=True)
    assert table.diagonal().sum() == 0
    assert (table[~torch.eye(4, dtype=torch.bool)] - 1000 / 3).abs().max() < 60


def test_losses_by_hand_and_by_autograd():
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 2.5]], dtype=torch.float64)
    y, target = torch.tensor([0, 2]), torch.tensor([1, 0])
    torch.testing.assert_close(margin(logits, y), torch.tensor([1.0, -0.5]).double())
    torch.testing.assert_close(margin(logits, y, target), torch.tensor([1.0, 3.0]).double())
    four = torch.tensor([[3.0, 1.0, 0.0, -2.0]])
    assert dlr(four, torch.tensor([0])).item() == pytest.approx((3 - 1) / (3 - 0))
    assert dlr(four, torch.tensor([0]), torch.tensor([2])).item() == pytest.approx((3 - 0) / (3 - (0 - 2) / 2))
    p = logits.softmax(1)[torch.arange(2), y]
    torch.testing.assert_close(cross_entropy(logits, y), (p / (1 - p)).log())
    # Up to a positive factor for each example, the slope is that of torch's cross-entropy.
    values = logits.clone().requires_grad_()
    (ours,) = torch.autograd.grad(cross_entropy(values, y).sum(), values)
    (theirs,) = torch.autograd.grad(-F.cross_entropy(values, y, reduction="sum"), values)
    torch.testing.assert_close(F.normalize(ours), F.normalize(theirs))


def test_directions_ignore_the_scale_of_gradients_and_keep_zero():
    g = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    g[2] = 0
    for scale in (1e-30, 1.0, 1e30):
        unit = direction(g * scale, "l2")
        torch.testing.assert_close(length(unit).flatten(), torch.tensor([1.0, 1.0, 0.0]))
        torch.testing.assert_close(unit, direction(g, "l2"))
    assert torch.equal(direction(g, "linf"), g.sign())


def test_a_slope_counts_each_example_once_whatever_the_batch():
    gradient, logits = slope(NET, X, lambda z: margin(z, Y))
    single = torch.cat([slope(NET, X[i : i + 1], lambda z, i=i: margin(z, Y[i : i + 1]))[0] for i in range(5)])
    torch.testing.assert_close(gradient, single)
    assert not logits.requires_grad
    assert slope(lambda x: NET(x).bfloat16(), X, lambda z: margin(z, Y))[1].dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FGSM(eps=-0.1), r"attack\.eps=-0\.1 must be a distance of at least 0"),
        (lambda: FGSM(eps=float("nan")), r"attack\.eps=nan must be"),
        (lambda: FGSM(eps=0.1, norm="l1"), r"attack\.norm=l1 must be linf or l2"),
        (lambda: FGSM(eps=0.1, loss="mse"), r"attack\.loss=mse must be cross_entropy or margin or dlr"),
        (lambda: FGSM(eps=0.1, target="most"), r"attack\.target=most must be null, least, random, all or the index"),
        (lambda: FGSM(eps=0.1, target=-1), r"attack\.target=-1 must be"),
        (lambda: FGSM(eps=0.1, target=4)(NET, X, Y, INDEX), r"attack\.target=4 must be a class below 4"),
        (
            lambda: FGSM(eps=8.0),
            r"1 is the largest; divide by 255; for example attack.eps=0.0314",
        ),
        (
            lambda: PGD(eps=128, norm="l2")(refusing, X, Y, INDEX),
            r"attack\.eps=128 must be at most 3 in l2, all pixels from black to white; "
            r"for levels up to 255 divide by 255; for example attack\.eps=0\.502",
        ),
        (lambda: PGD(eps=9.1, norm="l1")(refusing, X, Y, INDEX), r"attack\.eps=9\.1 must be at most 9 in l1"),
        (lambda: AutoAttack(eps=0.1).tally(refusing, 255 * X, Y, INDEX), r"attacks see pixels in \[0, 1\]"),
        (lambda: AutoAttack(eps=3.1, norm="l2").tally(refusing, X, Y, INDEX), r"attack\.eps=3\.1 must be at most 3"),
        (lambda: DeepFool(eps=3.1)(refusing, X, Y, INDEX), r"attack\.eps=3\.1 must be at most 3 in l2"),
        (
            lambda: Universal(eps=9.0, norm="l2").fitted(refusing, [Images(X, Y)]),
            r"attack\.eps=9\.0 must be at most 3 in l2",
        ),
        (lambda: FGSM(eps=None), r"attack\.eps=None must be a number"),
        (lambda: PGD(eps=0.1, norm="l0"), r"attack\.norm=l0 must be linf or l2 or l1"),
        (lambda: PGD(eps=0.1, momentum=2.0), r"attack\.momentum=2\.0 must be a share"),
        (lambda: PGD(eps=0.1, eot=0), r"attack\.eot=0 must be at least 1"),
        (
            lambda: PGD(eps=0.1, loss="dlr")(lambda x: NET(x)[:, :2], X, Y % 2, INDEX),
            r"attack\.loss=dlr compares 3 classes, and the net has 2; take attack\.loss=margin",
        ),
        (
            lambda: PGD(eps=0.1, loss="dlr", target=1)(lambda x: NET(x)[:, :3], X, Y % 3, INDEX),
            r"attack\.loss=dlr compares 4 classes, and the net has 3; take attack\.loss=margin",
        ),
        (lambda: PGD(eps=0.1, steps=0), r"attack\.steps=0 must be at least 1"),
        (lambda: PGD(eps=0.1, restarts=0), r"attack\.restarts=0 must be at least 1"),
        (lambda: PGD(eps=0.1, restarts=2, random_start=False), r"attack\.restarts=2 must be 1 without random starts"),
        (lambda: PGD(eps=0.1, step_size=0.0), r"attack\.step_size=0\.0 must be above 0"),
        (lambda: Noise(eps=0.1, draws=0), r"attack\.draws=0 must be at least 1"),
        (lambda: FGSM(eps=0.1)(NET, 4 * X - 2, Y, INDEX), r"attacks see pixels in \[0, 1\]; normalize inside the net"),
        (lambda: FGSM(eps=0.1)(NET, X * float("nan"), Y, INDEX), r"attacks see pixels in \[0, 1\]"),
        (lambda: PGD(eps=0.1)(lambda x: NET(x)[:, :1], X, Y, INDEX), r"shape \(5, 1\): an attack needs \(5, classes\)"),
    ],
)
def test_what_cannot_be_accepted_is_refused_with_rule_and_cure(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
