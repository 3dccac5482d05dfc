"""CycleGAN and pix2pix: their losses written out, the buffer of earlier pictures, the nets, and small translations."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from dlcli.batch import Images, Pairs
from dlcli.corruptions import Clean, Grey
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.cyclegan import CycleGAN, History
from dlcli.models.pix2pix import Pix2Pix
from dlcli.nets.layers import Picture
from dlcli.nets.translation import Patches, Translator
from dlcli.objectives import LeastSquares, Nonsaturating


class Scale(nn.Module):
    """Multiply pictures by one weight."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, *pictures):
        return self.weight * sum(pictures)


def scaled(cycle=10.0, identity=0.5, history=0):
    """Return a CycleGAN whose nets are numbers."""
    return CycleGAN(
        there=Scale(2.0),
        back=Scale(0.3),
        critic_there=Scale(0.7),
        critic_back=Scale(1.1),
        objective=LeastSquares(),
        shape=[1, 1, 1],
        weights={"cycle": cycle, "identity": identity},
        history=history,
    )


def one(x, other):
    """Return one pair of pictures of one pixel."""
    made = [torch.tensor(value, dtype=torch.float64).view(1, 1, 1, 1) for value in (x, other)]
    return Pairs(made[0], torch.zeros(1, dtype=torch.long), made[1])


def train(model, batch, steps, lr, size=16):
    """Run the shortest training loop that obeys the contract."""
    optimizers = {
        name: torch.optim.Adam(list(player), lr=lr, betas=(0.5, 0.999)) for name, player in model.players().items()
    }
    for step in range(steps):
        chosen = torch.randperm(batch.size)[:size]
        for update in model.updates(type(batch)(*(column[chosen] for column in batch)), Clock(step, steps)):
            optimizers[update.player].zero_grad()
            update.loss.backward()
            optimizers[update.player].step()
    return model.eval()


@pytest.mark.parametrize(("cycle", "identity"), [(10.0, 0.5), (10.0, 0.0), (0.0, 0.5)])
def test_the_losses_written_out(cycle, identity):
    x, y, g, f, d, e = 0.4, 0.9, 2.0, 0.3, 0.7, 1.1
    updates = scaled(cycle, identity).updates(one(x, y), Clock(0, 1))
    fooled = (d * g * x - 1) ** 2 + (e * f * y - 1) ** 2
    home = abs(f * g * x - x) + abs(g * f * y - y)
    kept = abs(g * y - y) + abs(f * x - x)
    generator = next(updates)
    assert generator.player == "generator"
    assert generator.loss.item() == pytest.approx(fooled + cycle * home + cycle * identity * kept, rel=1e-6)
    critic = next(updates)
    assert critic.player == "critic"
    told = (d * y - 1) ** 2 + (d * g * x) ** 2 + (e * x - 1) ** 2 + (e * f * y) ** 2
    assert critic.loss.item() == pytest.approx(told, rel=1e-6)
    assert next(updates, None) is None


def test_the_critic_sends_no_gradient_to_the_generators():
    model = scaled()
    updates = model.updates(one(0.4, 0.9), Clock(0, 1))
    next(updates)
    next(updates).loss.backward()
    assert model.there.weight.grad is None
    assert model.critic_there.weight.grad is not None


def test_the_history_gives_back_every_second_one_and_loses_none():
    history = History(size=6, shape=[1, 1, 1])
    first = torch.arange(4.0).view(4, 1, 1, 1)
    assert torch.equal(history(first), first)  # while there is room
    more = torch.arange(4.0, 8.0).view(4, 1, 1, 1)
    given = history(more)
    assert int(history.count) == 6
    both = torch.cat([given[2:], history.kept]).flatten().sort().values
    assert both.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]  # two found room, the others were given or kept in exchange
    old = 0
    for step in range(200):
        fresh = torch.full((5, 1, 1, 1), 100.0 + step)
        old += int((history(fresh) != fresh).sum())
    assert 400 < old < 550  # half of 1,000, less what was swapped for one of the same step


def test_the_history_of_a_batch_that_is_larger_and_of_no_pictures_at_all():
    history, fresh = History(size=2, shape=[1, 1, 1]), torch.arange(7.0).view(7, 1, 1, 1)
    assert sorted(torch.cat([history(fresh)[2:], history.kept]).flatten().tolist()) == list(range(7))
    assert torch.equal(History(size=0, shape=[1, 1, 1])(fresh), fresh)


def test_a_saved_history_goes_on_to_the_same_bits():
    some, other = (History(size=3, shape=[1, 2, 2]) for _ in range(2))
    some(torch.rand(5, 1, 2, 2))
    other.load_state_dict(some.state_dict())
    fresh, state = torch.rand(4, 1, 2, 2), torch.get_rng_state()
    first = some(fresh)
    torch.set_rng_state(state)
    assert torch.equal(other(fresh), first)
    assert torch.equal(some.kept, other.kept)


def test_pictures_that_come_home_and_those_that_do_not_are_measured():
    model = scaled()
    measured = model.measure(one(0.4, 0.9))
    assert measured["loss"].tolist() == pytest.approx([abs(0.6 * 0.4 - 0.4) + abs(0.6 * 0.9 - 0.9)])
    scores = model.score(measured)
    assert scores["apart"] == pytest.approx(0.1, rel=1e-5)
    assert scores["loss"] == pytest.approx(scores["there"] + scores["back"] + measured["loss"].item())
    assert model.notes() == []
    assert "cycle" in scaled(cycle=0.0).notes()[0]


def test_faults_are_told():
    with pytest.raises(ConfigError, match="data=outlines"):
        scaled().measure(Images(torch.rand(2, 1, 8, 8), torch.zeros(2)))
    with pytest.raises(ConfigError, match="cycle and identity"):
        CycleGAN(
            there=nn.Identity(), back=nn.Identity(), critic_there=nn.Identity(), critic_back=nn.Identity(),
            objective=LeastSquares(), shape=[1], weights={"cycle": 1.0},
        )  # fmt: skip
    with pytest.raises(ConfigError, match="smaller depth"):
        Translator(picture=Picture(channels=1, height=30, width=28), depth=2)
    with pytest.raises(ConfigError, match="too small"):
        Patches(picture=Picture(channels=1, height=8, width=8), depth=3)


def test_the_published_nets():
    picture = Picture(channels=3, height=256, width=256)
    nets = Translator(picture=picture, norm="none"), Patches(picture=picture, norm="none")
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [11_378_179, 2_764_737]


@pytest.mark.parametrize(("depth", "field"), [(1, 16), (2, 34), (3, 70)])
def test_how_far_a_patch_reaches(depth, field):
    net = Patches(picture=Picture(channels=1, height=128, width=128), width=2, depth=depth, norm="none").double()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    answers = net(x)
    answers[0, 0, answers.shape[2] // 2, answers.shape[3] // 2].backward()
    assert int(x.grad[0, 0].any(1).sum()) == field


def test_a_translator_keeps_the_shape_and_stays_between_black_and_white():
    net = Translator(picture=Picture(channels=3, height=16, width=12), width=4, depth=2, blocks=1)
    made = net(torch.rand(2, 3, 16, 12))
    assert made.shape == (2, 3, 16, 12)
    assert 0 < made.min() < made.max() < 1


def digits():
    """Return digits of 8x8, and others in negative: two domains."""
    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x / 16).float().view(-1, 1, 8, 8)
    return Pairs(x[:800], torch.tensor(y[:800]), 1 - x[800:1600])


def test_it_learns_to_turn_digits_into_negatives_without_pairs():
    data, picture = digits(), Picture(channels=1, height=8, width=8)
    nets = [Translator(picture=picture, width=8, depth=0, blocks=1) for _ in range(2)]
    critics = [Patches(picture=picture, width=8, depth=1) for _ in range(2)]
    model = CycleGAN(
        there=nets[0], back=nets[1], critic_there=critics[0], critic_back=critics[1], objective=LeastSquares(),
        shape=[1, 8, 8], weights={"cycle": 10.0, "identity": 0.0},
    )  # fmt: skip
    model = train(model, data, 250, 2e-3)
    with torch.no_grad():
        made = model.translate(data.x)
        assert (made - (1 - data.x)).abs().mean() < 0.15  # 0.69 apart at first
        assert {name: len(rows) for name, rows in model.show(data).items()} == {
            "there and back": 24,
            "back and there": 24,
        }


def test_pix2pix_written_out():
    class Grow(Scale):
        def forward(self, x):
            return self.weight + x

    generator, critic = Grow(0.2), Scale(0.5)
    model = Pix2Pix(generator=generator, critic=critic, corruption=Clean(), objective=Nonsaturating(), weight=100.0)
    x = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64)
    updates = model.updates(Images(x, torch.zeros(1)), Clock(0, 1))
    made = torch.sigmoid(0.2 + x)
    expected = nn.functional.softplus(-0.5 * (x + made)) + 100 * (made - x).abs()
    first = next(updates)
    assert (first.player, first.loss.item()) == ("generator", pytest.approx(expected.item(), rel=1e-6))
    softplus = nn.functional.softplus
    expected = softplus(-0.5 * (x + x)) + softplus(0.5 * (x + made))
    second = next(updates)
    assert (second.player, second.loss.item()) == ("critic", pytest.approx(expected.item(), rel=1e-6))
    assert "corruption=grey" in model.notes()[0]


def test_pix2pix_learns_that_the_left_is_red_and_the_right_is_blue():
    x = torch.rand(64, 1, 16, 16) * torch.tensor([1.0, 0.2, 0.2]).view(1, 3, 1, 1)
    x[..., 8:] = x[..., 8:].flip(1)
    picture = Picture(channels=3, height=16, width=16)
    generator = nn.Sequential(nn.Conv2d(3, 16, 15, padding=7), nn.ReLU(), nn.Conv2d(16, 3, 1))
    critic = Patches(picture=picture, pictures=2, width=8, depth=1)
    model = Pix2Pix(generator=generator, critic=critic, corruption=Grey(), objective=Nonsaturating())
    data = Images(x, torch.zeros(64, dtype=torch.long))
    before = model.score(model.measure(data))
    after = train(model, data, 150, 5e-3).measure(data)
    assert model.score(after)["psnr"] > before["psnr"] + 3
    assert model.score(after)["gain"] > 0
