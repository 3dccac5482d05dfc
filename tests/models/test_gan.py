"""The rules of GANs: who moves when, on which weights, against loops by hand; conditions, codes, balance; faults."""

import copy

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dlcli.batch import Images, Table
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.precision import Precision
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models import sliced
from dlcli.models.acgan import ACGAN
from dlcli.models.began import BEGAN
from dlcli.models.cgan import ConditionalGAN
from dlcli.models.gan import GAN
from dlcli.models.infogan import InfoGAN, purity
from dlcli.models.reversed_gan import ReversedGAN
from dlcli.nets.gan import Generator, MLPCritic, Rebuilder
from dlcli.nets.mlp import MLP
from dlcli.nets.reversal import Reversal
from dlcli.objectives import Hinge, LeastSquares, Minimax, Nonsaturating, Wasserstein
from dlcli.regularizers import Clipping, Dragan, Free, GradientPenalty
from dlcli.samplers import Interpolation, Prior

NAMES = [str(i) for i in range(10)]
CLOCK = Clock(0, 10)


def digits() -> Images:
    """Return handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def parts(extra=(), told=0, answers=(), norm="none", kernels=0, **more):
    """Return the arguments of a GAN of 8x8 pictures."""
    return {
        "generator": Generator(inputs=[6, *extra], widths=[32], shape=[1, 8, 8]),
        "critic": MLPCritic(inputs=64, widths=[32], classes=told, answers=answers, norm=norm, kernels=kernels),
        "latent": 6,
        "objective": Nonsaturating(),
        "regularizer": Free(),
    } | more


def batch(n=12) -> Images:
    """Return pictures of noise."""
    return Images(torch.rand(n, 1, 8, 8), torch.arange(n) % 10)


def engine(model, rate=1e-3, **settings) -> Engine:
    """Return an engine with Adam."""
    return Engine(
        model,
        lambda groups, **more: torch.optim.Adam(groups, **{"lr": rate, "betas": (0.5, 0.999)} | more),
        settings=Settings(**settings),
        precision=Precision(torch.device("cpu"), "fp32"),
    )


def train(model, data, steps, rate=1e-3, **settings) -> Engine:
    """Train on random batches with the engine."""
    made = engine(model, rate, **settings)
    made.clock = Clock(0, steps)
    model.train()
    for step in range(steps):
        rows = torch.randint(data.size, (64,))
        made.clock = Clock(step, steps)
        made.learn(Images(data.x[rows], data.y[rows]))
    model.eval()
    return made


def test_the_weights_of_a_loop_by_hand_to_the_bit():
    data = digits()
    model = GAN(**parts(objective=Wasserstein(), regularizer=GradientPenalty(), critic_steps=3))
    critic, generator = copy.deepcopy(model.critic), copy.deepcopy(model.generator)
    torch.manual_seed(1)
    train(model, data, 7)
    torch.manual_seed(1)
    first = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    second = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for step in range(7):
        x = data.x[torch.randint(data.size, (64,))]
        fake = generator(torch.randn(64, 6))
        distance = critic(x).mean() - critic(fake.detach()).mean()
        between = torch.lerp(fake.detach(), x, torch.rand(64, 1, 1, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        first.zero_grad()
        (10 * (slope.flatten(1).norm(dim=1) - 1).square().mean() - distance).backward()
        first.step()
        if step in (2, 5):
            second.zero_grad()
            (-critic(fake).mean()).backward()
            second.step()
    for mine, theirs in ((model.critic, critic), (model.generator, generator)):
        assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_who_moves_when(steps):
    model = GAN(**parts(critic_steps=steps))
    moves = ["".join(u.player[0] for u in model.updates(batch(), Clock(step, 10))) for step in range(10)]
    assert moves == ["cg" if (step + 1) % steps == 0 else "c" for step in range(10)]


@pytest.mark.parametrize(("regularizer", "looks"), [(Free(), 2), (Clipping(), 2), (GradientPenalty(), 3)])
def test_nothing_is_computed_twice(regularizer, looks):
    model = GAN(**parts(regularizer=regularizer, critic_steps=2))
    calls = {"critic": 0, "generator": 0}
    for name in calls:
        getattr(model, name).register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    list(model.updates(batch(), Clock(0, 10)))
    assert calls == {"critic": looks, "generator": 1}  # the generator rests
    list(model.updates(batch(), Clock(1, 10)))
    assert calls == {"critic": 2 * looks + 1, "generator": 2}  # the same samples before the moved critic


def test_the_generator_answers_to_the_moved_critic():
    model, held = GAN(**parts()), batch()
    run = model.updates(held, CLOCK)
    next(run)
    with torch.no_grad():
        for p in model.critic.parameters():
            p.zero_()
        model.critic.head.bias.fill_(0.7)
    assert next(run).loss.item() == pytest.approx(F.softplus(torch.tensor(-0.7)).item())


def test_clipping_follows_the_step_of_the_critic():
    model = GAN(**parts(objective=Wasserstein(), regularizer=Clipping(limit=0.02)))
    train(model, digits(), 3, rate=0.1)
    assert max(p.abs().max().item() for p in model.critic.parameters()) == pytest.approx(0.02)
    assert max(p.abs().max().item() for p in model.generator.parameters()) > 0.02


def test_noise_on_what_the_critic_sees_fades():
    spread = []
    for step in (0, 5, 10):
        model = GAN(**parts(noise=0.5))
        seen = []
        model.critic.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        still = Images(torch.full((500, 1, 8, 8), 0.5), torch.zeros(500).long())
        next(model.updates(still, Clock(step, 10)))
        spread.append(seen[0].std().item())
    assert spread == pytest.approx([0.5, 0.25, 0.0], abs=0.01)


def test_reversal_is_minimax_with_both_moving_at_once():
    model = ReversedGAN(**parts(objective=Minimax()), reversal=Reversal(strength=0.3))
    held, twin = batch(), copy.deepcopy(model)
    torch.manual_seed(2)
    (update,) = model.updates(held, CLOCK)
    update.loss.backward()
    torch.manual_seed(2)
    fake = twin.generator(torch.randn(12, 6))
    critic = Minimax().critic(twin.critic(held.x)[:, 0], twin.critic(fake.detach())[:, 0])
    generator = Minimax().generator(twin.critic(fake)[:, 0])
    critic.backward(inputs=list(twin.critic.parameters()))
    (0.3 * generator).backward(inputs=list(twin.generator.parameters()))
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-7)
    assert list(model.players()) == ["model"]


@pytest.mark.parametrize(("objective", "named"), [
    (Minimax(), None), (Minimax(smoothing=0.1), None), (Wasserstein(), None),
    (Nonsaturating(), "Nonsaturating"), (LeastSquares(), "LeastSquares"), (Hinge(), "Hinge"),
])  # fmt: skip
def test_reversal_is_for_games_of_zero_sum(objective, named):
    model = ReversedGAN(**parts(objective=objective, regularizer=Clipping()), reversal=Reversal())
    notes = model.notes()
    assert len(notes) == (named is not None)
    assert named is None or f"which is not what {named} has for it; take objective=minimax" in notes[0]


def test_samples_of_a_trained_pair_are_nearer_to_the_data():
    data = digits()
    for model in (
        GAN(**parts()),
        GAN(**parts(objective=LeastSquares(), kernels=2)),
        ReversedGAN(**parts(objective=Minimax()), reversal=Reversal()),
    ):
        before = score(model, data)["loss"]
        train(model, data, 300, rate=2e-3)
        after = score(model, data)
        assert after["loss"] < 0.7 * before
        assert 0.5 <= after["separation"] <= 1


@torch.no_grad()
def score(model, data) -> dict[str, float]:
    """Return the scores of a split."""
    model.eval()
    return model.score(model.measure(data))


def test_the_sliced_distance():
    x = torch.rand(200, 1, 8, 8)
    assert sliced.distance(sliced.shadows(x), sliced.shadows(x.flip(0))) == 0
    shift = torch.full((64,), 0.1)
    apart = sliced.distance(sliced.shadows(x), sliced.shadows(x + 0.1))
    assert apart == pytest.approx(sliced.shadows(shift[None]).abs().mean().item(), rel=1e-3)  # all shadows move alike
    line = torch.tensor([[0.0], [1.0], [4.0]])
    assert sliced.distance(sliced.shadows(line), sliced.shadows(line[[2, 0, 1]] + 1)) == pytest.approx(1)


def test_scores_of_known_outputs():
    model = GAN(**parts())
    shadow = torch.rand(4, 3)
    outputs = {"real": torch.tensor([1.0, 2, 3, 4]), "fake": torch.tensor([0.0, 1.5, -1, 9])}
    found = model.score(outputs | {"real shadow": shadow, "fake shadow": shadow.flip(0)})
    assert found["loss"] == 0
    assert found["gap"] == pytest.approx(2.5 - 2.375)
    assert found["separation"] == pytest.approx((2 + 3 + 3 + 3) / 16)
    assert found["generator_loss"] == pytest.approx(Nonsaturating().generator(outputs["fake"]).item(), abs=1e-6)


@torch.no_grad()
def test_points_of_the_plane_are_drawn():
    generator = Generator(inputs=[6], widths=[8], shape=[2], output="identity")
    model = GAN(**parts(generator=generator, critic=MLPCritic(inputs=2, widths=[8]))).eval()
    held = Table(torch.randn(30, 2), torch.zeros(30).long())
    assert model.show(held) == {}
    assert set(model.report(model.measure(held))) == {"critic", "points"}
    assert model.sample(5, Prior()).shape == (5, 2)


def test_samples_come_in_any_number_and_from_any_walk():
    model = GAN(**parts()).eval()
    whole = model.sample(1203, Prior())
    assert whole.shape == (1203, 1, 8, 8)
    assert model.sample(16, Interpolation(steps=8)).shape == (16, 1, 8, 8)
    z = torch.randn(1203, 6)
    assert torch.allclose(model.generate(z), model.generator(z), atol=1e-6)
    assert model.embed(batch()).shape == (12, 32)
    with pytest.raises(ConfigError, match="draws from no chosen class"):
        model.sample(4, Prior(label="3"))


def test_averaged_weights_are_what_is_scored_and_kept():
    data = digits()
    made = train(GAN(**parts()), data, 40, rate=5e-3, ema=0.9)
    live = made.model.generator.layers[0].weight.detach().clone()
    with made.evaluated():
        used = made.model.generator.layers[0].weight.detach().clone()
    assert not torch.allclose(live, used)
    assert made.weights()["generator.layers.0.weight"].equal(used)


def test_both_players_are_told_the_class():
    model = ConditionalGAN(names=NAMES, **parts(extra=[10], told=10))
    held = batch()
    codes = model.draw(held)
    assert codes.shape == (12, 16)
    assert torch.equal(codes[:, 6:], F.one_hot(held.y, 10).float())
    heard = []
    model.critic.register_forward_pre_hook(lambda _, given: heard.append(given[1]))
    list(model.updates(held, CLOCK))
    assert len(heard) == 3
    assert all(told.equal(codes[:, 6:]) for told in heard)
    shares = Images(held.x, torch.full((12, 10), 0.1))  # mixed pictures
    assert model.draw(shares)[:, 6:].equal(shares.y)
    assert model.embed(held).shape == (12, 32)


@pytest.mark.parametrize(("rule", "options"), [
    (ConditionalGAN, {"classes": 10, "projection": True}), (ACGAN, {"answers": [10]}),
])  # fmt: skip
def test_a_conditional_pair_makes_the_class_that_is_asked_for(rule, options):
    data, generator = digits(), Generator(inputs=[6, 10], widths=[64], shape=[1, 8, 8])
    critic = MLPCritic(inputs=64, widths=[64], **options)
    model = rule(names=NAMES, **parts(generator=generator, critic=critic))
    train(model, data, 300, rate=2e-3)
    means = torch.stack([data.x[data.y == k].mean(0) for k in range(10)]).flatten(1)
    asked = Prior().labels(500, NAMES)
    for sampler, wanted in ((Prior(), asked), (Prior(label="3"), torch.full((500,), 3))):
        guess = torch.cdist(model.sample(500, sampler).flatten(1), means).argmin(1)
        assert (guess == wanted).float().mean() > 0.8


@pytest.mark.parametrize("trust", [1.0, 0.0])
def test_the_auxiliary_classifier_costs_cross_entropy(trust):
    model = ACGAN(names=NAMES, weight=2.0, trust=trust, **parts(extra=[10], answers=[10]))
    held = batch()
    torch.manual_seed(3)
    run = model.updates(held, CLOCK)
    critic = next(run).loss
    generator = next(run).loss
    torch.manual_seed(3)
    fake = model.generator(model.draw(held))
    (real, of_real), (made, of_fake) = ((out[:, 0], out[:, 1:]) for out in (model.critic(held.x), model.critic(fake)))
    entropy = F.cross_entropy(of_fake, held.y)
    whole = F.cross_entropy(of_real, held.y) + trust * entropy
    assert torch.allclose(critic, Nonsaturating().critic(real, made) + 2 * whole)
    assert torch.allclose(generator, Nonsaturating().generator(made) + 2 * entropy)
    found = score(model, held)
    assert {"accuracy", "recognized"} <= found.keys()


def test_the_bound_of_infogan():
    model = InfoGAN(categories=3, factors=2, **parts(extra=[3, 2], answers=[3, 2]))
    held = batch()
    codes = model.draw(held)
    assert torch.equal(codes[:, 6:9].sum(1), torch.ones(12))
    assert codes[:, 9:].abs().max() <= 1
    answers = torch.randn(12, 5)
    kind = torch.distributions.Categorical(logits=answers[:, :3]).log_prob(codes[:, 6:9].argmax(1))
    normal = torch.distributions.Normal(answers[:, 3:], 1.0).log_prob(codes[:, 9:]).sum(1)
    constant = torch.log(torch.tensor(2 * torch.pi))  # of two factors: half of log 2 pi for each
    assert torch.allclose(model.guessing(answers, codes[:, 6:], False), -(kind + normal).mean() - constant, atol=1e-6)
    assert model.guessing(answers, codes[:, 6:], True) == 0
    assert model.sample(9, Prior()).shape == (9, 1, 8, 8)
    assert model.walk().shape == (24, 1, 8, 8)
    assert set(model.show(held)) == {"samples", "codes"}
    with pytest.raises(ConfigError, match="no such class"):
        model.sample(4, Prior(label="7"))


def test_infogan_reads_its_codes_back():
    model = InfoGAN(categories=3, factors=1, **parts(extra=[3, 1], answers=[3, 1]))
    train(model, digits(), 300, rate=2e-3)
    found = score(model, digits())
    assert found["category_read"] > 0.9
    assert found["factor_error"] < 0.2  # a guess of zero has 1/3
    assert 0.1 < found["purity"] <= 1


def test_infogan_without_factors_or_labels():
    model = InfoGAN(categories=3, factors=0, **parts(extra=[3, 0], answers=[3, 0]))
    found = score(model, batch())
    assert all(torch.tensor(list(found.values())).isfinite())
    assert "factor_error" not in found
    assert "purity" in found
    assert "purity" not in score(model, Table(batch().x, torch.rand(12)))
    assert model.show(batch())["codes"].shape == (24, 1, 8, 8)


def test_purity_by_hand():
    assert purity(torch.tensor([[0, 2], [0, 2], [1, 2], [1, 0], [2, 0]])) == pytest.approx(3 / 5)


def balanced(norm="none", **more) -> BEGAN:
    """Return a BEGAN of 8x8 pictures."""
    decoder = Generator(inputs=[8], widths=[32], shape=[1, 8, 8], norm=norm, output="identity")
    critic = Rebuilder(encoder=MLP(inputs=64, widths=[32], outputs=8, norm=norm), decoder=decoder)
    generator = Generator(inputs=[6], widths=[32], shape=[1, 8, 8], norm=norm)
    return BEGAN(generator=generator, critic=critic, latent=6, **more)


def test_the_balance_of_began_by_hand():
    model, held = balanced(balance=0.5, rate=0.1), batch()
    model.k.fill_(0.25)
    torch.manual_seed(4)
    run = model.updates(held, CLOCK)
    critic = next(run).loss
    torch.manual_seed(4)
    fake = model.generator(torch.randn(12, 6))
    real, made = ((model.critic(x) - x).abs().mean() for x in (held.x, fake))
    assert torch.allclose(critic, real - 0.25 * made)
    assert torch.allclose(next(run).loss, made)
    assert model.k == 0.25
    assert next(run, None) is None
    assert torch.allclose(model.k, 0.25 + 0.1 * (0.5 * real - made))
    losses = model.losses(-real[None], -made[None])
    assert losses["convergence"] == pytest.approx((real + (0.5 * real - made).abs()).item(), abs=1e-6)
    assert "k" in model.state_dict()


def test_the_weight_of_began_stays_a_share():
    model = balanced(rate=1e3)
    for _ in range(4):
        list(model.updates(batch(), CLOCK))
        assert model.k.item() in (0.0, 1.0)


def test_batch_norm_keeps_the_samples_of_began_apart():
    data, spread = digits(), {}
    for norm in ("none", "batch"):
        torch.manual_seed(0)
        model = balanced(norm=norm, balance=0.7, rate=1.0)
        before = score(model, data)["loss"]
        train(model, data, 250)
        spread[norm] = (model.sample(500, Prior()).std(0).mean() / data.x.std(0).mean()).item()
    assert 2 * spread["none"] < spread["batch"]  # 0.17 and 0.50
    assert score(model, data)["loss"] < 0.6 * before


def test_what_does_not_go_together_is_noted():
    assert GAN(**parts()).notes() == balanced().notes() == []
    slope = GAN(**parts(objective=Wasserstein())).notes()
    assert len(slope) == 1
    assert "regularizer=gradient_penalty" in slope[0]
    for cure in ({"regularizer": Clipping()}, {"norm": "spectral"}, {"regularizer": Dragan(), "norm": "layer"}):
        assert GAN(**parts(objective=Wasserstein(), **cure)).notes() == []
    for mixing in ({"norm": "batch"}, {"kernels": 4}):
        (note,) = GAN(**parts(regularizer=GradientPenalty(), **mixing)).notes()
        assert "model.critic.norm=layer or none" in note


@pytest.mark.parametrize(("fault", "message"), [
    ({"critic_steps": 0}, "critic_steps=0: the critic takes at least 1 step"),
    ({"latent": 7}, r"model.generator.inputs=\[6\]: the generator is given 7 numbers of noise"),
    ({"critic": nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Sigmoid())}, "the critic ends in a sigmoid"),
])  # fmt: skip
def test_faults_are_told(fault, message):
    with pytest.raises(ConfigError, match=message):
        GAN(**parts() | {"objective": Wasserstein()} | fault)


def test_faults_of_codes_are_told():
    with pytest.raises(ConfigError, match=r"6 numbers of noise .* and 10 of what it is told"):
        ConditionalGAN(names=NAMES, **parts(told=10))
    with pytest.raises(ConfigError, match=r"model.critic.classes=0: the critic is told which of 10 classes"):
        ConditionalGAN(names=NAMES, **parts(extra=[10]))
    with pytest.raises(ConfigError, match=r"model.critic.answers: the critic guesses 3 numbers, but ACGAN asks for 10"):
        ACGAN(names=NAMES, **parts(extra=[10], answers=[3]))
    with pytest.raises(ConfigError, match=r"the critic guesses 3 numbers, but InfoGAN asks for 5"):
        InfoGAN(categories=3, factors=2, **parts(extra=[3, 2], answers=[3]))
    with pytest.raises(ConfigError, match=r"model.reversal.strength=-1: must be above 0"):
        ReversedGAN(**parts(), reversal=Reversal(strength=-1))
    with pytest.raises(ConfigError, match="balance=0"):
        balanced(balance=0)


@pytest.mark.parametrize(("words", "said"), [
    (["model=gan", "model.critic_steps=0"], "model.critic_steps must be a whole number >= 1"),
    (["model=cgan", "data=diabetes"], "data=diabetes has no channels, classes, height, names, width, which this"),
    (["model=gan", "objective=wassertein"], "did you mean wasserstein?"),
    (["model=gan", "regularizer=r2"], "no such regularizer"),
])  # fmt: skip
def test_command_line_faults(dl, words, said):
    code, _, err = dl("train", *words, "--dry-run")
    assert code == 2
    assert said in err, err
