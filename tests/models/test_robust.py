"""Adversarial training: which pictures it learns from, in which mode, TRADES by hand, and what it is worth."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.pgd import PGD
from dlcli.batch import Images
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.classifier import Classifier
from dlcli.models.robust import Robust, WorstCase, evaluating, grown
from dlcli.models.trades import Trades, divergence
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.layers import Picture
from dlcli.nets.madry import MadryCNN

SIZE = {"picture": Picture(channels=1, height=8, width=8), "classes": 10}
EXAM = PGD(eps=0.1, steps=10, stop=True)


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def part(data: Images, rows) -> Images:
    """Return some of the examples."""
    return Images(data.x[rows], data.y[rows])


def robust(attack, goal=None, net=None, **more) -> Robust:
    """Return the rule around a small net."""
    net = net or MadryCNN(**SIZE, widths=(8, 16), hidden=64)
    return Robust(net=net, classes=10, attack=attack, exam=EXAM, goal=goal or WorstCase(), **more)


def train(model, data, steps, rate=3e-3, size=64):
    """Run the shortest training loop that obeys the contract."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for step in range(steps):
        for update in model.updates(part(data, torch.randperm(data.size)[:size]), Clock(step, steps)):
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()
    return model.eval()


def left(model, attack, data) -> float:
    """Return the accuracy under an attack."""
    with torch.no_grad():
        found = attack(model, data.x, data.y, torch.arange(data.size))
        return (model(found).argmax(1) == data.y).float().mean().item()


@dataclass(frozen=True)
class Watching:
    """An attack that notes the modes and what it is asked, and adds eps."""

    eps: float = 0.1
    step_size: float | None = None

    def __call__(self, classifier, x, y, index):
        SEEN.append(([m.training for m in NET[0].modules()], len(x), index.tolist(), self.eps, self.step_size))
        return x + self.eps


SEEN: list = []
NET: list = []


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()
    NET.clear()


def test_the_loss_is_that_of_the_pictures_that_the_attack_found():
    model, batch = robust(FGSM(eps=0.1)).eval(), part(digits(), slice(0, 8))
    found = FGSM(eps=0.1)(model, batch.x, batch.y, torch.arange(8))
    torch.testing.assert_close(model.loss(batch), F.cross_entropy(model(found), batch.y))
    assert model.loss(batch) > F.cross_entropy(model(batch.x), batch.y)


def test_a_share_of_the_batch_stays_clean():
    batch = part(digits(), slice(0, 8))
    model = robust(Watching(), WorstCase(clean=0.25)).eval()
    NET.append(model)
    mixed = torch.cat([batch.x[:2], batch.x[2:] + 0.1])
    torch.testing.assert_close(model.loss(batch), F.cross_entropy(model(mixed), batch.y))
    assert SEEN[0][1] == 6


def test_of_a_small_batch_one_picture_at_least_is_attacked():
    batch = part(digits(), slice(0, 4))
    model = robust(Watching(), WorstCase(clean=0.9)).eval()
    NET.append(model)
    model.loss(batch)
    assert SEEN[0][1] == 1


def test_the_attack_sees_eval_mode_and_every_layer_gets_its_own_mode_back():
    net = SmallCNN(**SIZE, widths=[4])
    model = robust(Watching(), net=net)
    NET.append(model)
    model.train()
    frozen = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    frozen.eval()
    before = [module.training for module in model.modules()]
    mean = frozen.running_mean.clone()
    model.loss(part(digits(), slice(0, 8)))
    assert not any(SEEN[0][0])
    assert [module.training for module in model.modules()] == before
    assert frozen.running_mean.equal(mean)
    with pytest.raises(RuntimeError), evaluating(model):
        raise RuntimeError
    assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize("half", [False, True])
def test_the_search_asks_the_net_in_the_precision_in_which_it_learns(half):
    asked = []
    model = robust(PGD(eps=0.1, steps=2))
    model.net.layers[0].register_forward_hook(lambda layer, x, y: asked.append(y.dtype))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        model.loss(part(digits(), slice(0, 8)))
    assert set(asked) == {torch.bfloat16 if half else torch.float32}
    assert len(asked) > 3


def test_batch_norm_learns_from_what_is_learned_from_and_not_from_the_search():
    net = SmallCNN(**SIZE, widths=[4])
    model = robust(PGD(eps=0.1, steps=5), net=net).train()
    model.loss(part(digits(), slice(0, 8)))
    assert next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)).num_batches_tracked == 1


def test_every_search_starts_elsewhere_and_the_seed_decides_where():
    model, batch = robust(Watching()), part(digits(), slice(0, 3))
    NET.append(model)
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model.loss(batch)
        model.loss(batch)
    starts = [seen[2] for seen in SEEN]
    assert starts[:2] == starts[2:4]
    assert len({tuple(start) for start in starts}) == 4


def test_eps_and_steps_grow_over_the_ramp():
    model, batch = robust(Watching(eps=0.2, step_size=0.1), ramp=0.5), part(digits(), slice(0, 3))
    NET.append(model)
    for step in (0, 1, 2, 3):
        list(model.updates(batch, Clock(step, 4)))
    assert [seen[3] for seen in SEEN] == [0, 0.1, 0.2, 0.2]
    assert [seen[4] for seen in SEEN[1:]] == [0.05, 0.1, 0.1]
    attack = PGD(eps=0.2, steps=3)
    assert grown(attack, 1.5) is attack
    assert grown(attack, 0.5) == replace(attack, eps=0.1)


def test_robust_accuracy_counts_what_is_right_before_and_after():
    model = robust(FGSM(eps=0.1))
    logits = F.one_hot(torch.tensor([0, 1, 2, 0]), 10).float()
    found = {"loss": torch.zeros(4), "logits": logits, "truth": torch.tensor([0, 1, 3, 1])}
    score = model.score(found | {"robust": torch.tensor([True, False, True, False])})
    assert (score["accuracy"], score["robust_accuracy"]) == (0.5, 0.25)
    assert model.monitor in model.rising
    measured = model.eval().measure(part(digits(), slice(0, 20)))
    assert measured["robust"].shape == (20,)


def test_trades_by_hand():
    batch = part(digits(), slice(0, 6))
    model = robust(Watching(eps=0.05), Trades(beta=3)).eval()
    NET.append(model)
    p, q = model(batch.x).softmax(1), model(batch.x + 0.05).softmax(1)
    by_hand = (p * (p / q).log()).sum(1)
    torch.testing.assert_close(divergence(p.log(), model(batch.x + 0.05)), by_hand)
    torch.testing.assert_close(model.loss(batch), F.cross_entropy(model(batch.x), batch.y) + 3 * by_hand.mean())


def test_trades_searches_for_the_largest_divergence_whatever_the_true_class():
    batch = part(digits(), slice(0, 20))
    model, found = train(robust(FGSM(eps=0.1)), digits(), 15), []

    def keep(classifier, x, y, index):
        found.append(PGD(eps=0.1, steps=10, stop=True)(classifier, x, y, index))
        return found[-1]

    model.attack, model.goal = keep, Trades()
    for y in (batch.y, (batch.y + 1) % 10):
        torch.manual_seed(0)
        model.loss(Images(batch.x, y))
    assert found[0].equal(found[1])
    with torch.no_grad():
        here = model(batch.x).log_softmax(1)
        noise = (batch.x + 0.1 * torch.randn_like(batch.x).sign()).clamp(0, 1)
        assert (divergence(here, model(found[0])) > divergence(here, model(noise))).all()


def test_values_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="ramp=2"):
        robust(FGSM(eps=0.1), ramp=2)
    with pytest.raises(ConfigError, match="clean=1"):
        WorstCase(clean=1)
    with pytest.raises(ConfigError, match="beta=-1"):
        Trades(beta=-1)


def test_adversarial_training_keeps_what_plain_training_loses():
    data = digits()
    seen, unseen = part(data, slice(0, 1500)), part(data, slice(1500, 1797))
    plain = train(Classifier(net=MadryCNN(**SIZE, widths=(8, 16), hidden=64), classes=10), seen, 120)
    hard = train(robust(PGD(eps=0.1, steps=1, step_size=0.125), ramp=0.3), seen, 200)
    found = left(plain, EXAM, unseen), left(hard, EXAM, unseen)
    assert found[1] > found[0] + 0.12, found


def test_the_published_net_has_its_published_size():
    net = MadryCNN(picture=Picture(channels=1, height=28, width=28), classes=10)
    assert sum(p.numel() for p in net.parameters()) == 832 + 51_264 + 3_212_288 + 10_250
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(ConfigError, match="two widths"):
        MadryCNN(**SIZE, widths=[8])


def test_pooling_before_relu_is_pooling_after_it_to_the_bit():
    torch.manual_seed(0)
    net, x = MadryCNN(**SIZE), torch.rand(16, 1, 8, 8, requires_grad=True)
    conv1, pool, relu, conv2, *_, flatten, hidden, _, _, output = net.layers
    twin = nn.Sequential(conv1, relu, pool, conv2, relu, pool, flatten, hidden, relu, output)
    inputs = [x, *net.parameters()]
    mine, its = (torch.autograd.grad(f(x).logsumexp(1).sum(), inputs) for f in (net, twin))
    assert all(a.equal(b) for a, b in zip(mine, its, strict=True))
