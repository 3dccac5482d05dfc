"""Variants of the VAE: chosen terms, chosen classes, a tighter bound, and what their figures count."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch.distributions import MultivariateNormal

from dlcli import figures
from dlcli.batch import Images, Table
from dlcli.errors import ConfigError, DataError
from dlcli.losses import gaussian_kl
from dlcli.model import Clock
from dlcli.models.cvae import CVAE
from dlcli.models.iwae import IWAE
from dlcli.models.vae import VAE
from dlcli.nets.vae import ClassEncoder, Decoder, Encoder
from dlcli.samplers import Interpolation, Manifold, Prior

NAMES = [str(i) for i in range(10)]


def digits(count=1797) -> Images:
    """Return handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x[:count] / 16).float().view(-1, 1, 8, 8), torch.tensor(y[:count]).long())


def nets(latent=3):
    """Return encoder and decoder of 8x8 pictures."""
    decoder = Decoder(latent=latent, widths=[64], shape=[1, 8, 8])
    return {"encoder": Encoder(inputs=64, widths=[64], latent=latent), "decoder": decoder, "latent": latent}


def conditional(latent=4) -> CVAE:
    """Return a conditional VAE of 8x8 digits."""
    encoder = ClassEncoder(inputs=64, classes=10, widths=[128], latent=latent)
    decoder = Decoder(latent=latent, widths=[128], shape=[1, 8, 8], classes=10)
    return CVAE(encoder=encoder, decoder=decoder, latent=latent, names=NAMES, importance=3)


def train(model, data, steps, rate=3e-3):
    """Run the shortest training loop that obeys the contract."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(steps):
        chosen = torch.randperm(data.size)[:64]
        for update in model.updates(Images(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()
    return model.eval()


def seeded(act, seed=1):
    """Return what `act` returns from a fixed seed."""
    torch.manual_seed(seed)
    return act()


@pytest.mark.parametrize("parts", ["both", "reconstruction", "kl"])
def test_the_parts_of_the_loss_are_what_they_say(parts):
    model, batch = VAE(**nets(), parts=parts), digits(20)
    measured = seeded(lambda: model.measure(batch))
    wanted = {"both": measured["reconstruction"] + measured["kl"]}.get(parts, measured.get(parts))
    torch.testing.assert_close(measured["loss"], wanted)
    torch.testing.assert_close(seeded(lambda: model.loss(batch)), wanted.mean())


def test_without_one_of_the_terms_codes_collapse_or_drift_apart():
    spread = {}
    for parts in ("both", "reconstruction", "kl"):
        model = train(seeded(lambda parts=parts: VAE(**nets(2), parts=parts)), digits(), 200)
        mean, logvar = model.posterior(digits().x)
        spread[parts] = (mean.std().item(), (0.5 * logvar).exp().mean().item(), gaussian_kl(mean, logvar).mean().item())
    assert spread["kl"][2] < 0.02  # every posterior is the prior
    assert spread["reconstruction"][0] > 1.5 * spread["both"][0]  # nothing holds the codes together
    assert spread["reconstruction"][1] < 0.8 * spread["both"][1]  # and nothing keeps them wide
    assert spread["reconstruction"][2] > 2 * spread["both"][2]


def test_an_unknown_part_is_refused():
    with pytest.raises(ConfigError, match=r"parts=likelihood: unknown; choose .* both, reconstruction, kl"):
        VAE(**nets(), parts="likelihood")


def test_numbers_outside_zero_and_one_need_another_likelihood():
    model, batch = VAE(**nets()), digits(4)
    wide = Images(16 * batch.x, batch.y)
    for act in (model.measure, lambda batch: next(model.updates(batch, Clock(0, 9)))):
        with pytest.raises(DataError, match=r"numbers in \[0, 1\], but the data reach from 0 to 16; use model\.l"):
            act(wide)
    real = VAE(**nets(), likelihood="gaussian")
    real.measure(wide)
    next(real.updates(wide, Clock(0, 9)))


def test_active_units_and_the_kl_of_each_unit_agree_with_the_whole():
    model, data = train(VAE(**nets(6), importance=2), digits(), 150), digits(300)
    with torch.no_grad():
        measured = model.measure(data)
    spent = gaussian_kl(measured["mean"].unsqueeze(2), measured["logvar"].unsqueeze(2)).mean(0)
    assert spent.sum().item() == pytest.approx(measured["kl"].mean().item(), rel=1e-4)
    report = model.report(measured)
    heights = [bar.get_height() for bar in report["units"].axes[0].patches]
    assert heights == pytest.approx(spent.sort(descending=True).values.tolist())
    assert f"active: {report['active_units']}" in report["units"].axes[0].get_legend().get_texts()[0].get_text()


def test_a_traversal_moves_one_unit_and_nothing_else():
    model, data = VAE(**nets(3)), digits(5)
    spent = torch.tensor([0.1, 0.9, 0.5])
    pictures = model.walk(data.x[:1], data.y[:1], spent)
    assert pictures.shape == (3, len(figures.WALK), 1, 8, 8)
    start = model.posterior(data.x[:1])[0].detach()
    for row, unit in enumerate((1, 2, 0)):  # the most telling unit first
        moved = start.clone()
        moved[0, unit] = figures.WALK[2]
        torch.testing.assert_close(pictures[row, 2], model.decode(moved)[0].detach())
    assert hasattr(figures.traversal(pictures, spent), "savefig")


def test_the_bound_with_one_sample_is_the_elbo_and_rises_with_more():
    shared, batch = nets(), digits(200)
    model = train(VAE(**shared), digits(), 60)
    with torch.no_grad():
        elbo = -torch.stack([model.measure(batch)["loss"].mean() for _ in range(60)])
        bounds = {}
        for samples in (1, 5, 50):
            tighter = IWAE(**shared, samples=samples)
            bounds[samples] = torch.stack([tighter.bound(batch.x).mean() for _ in range(60 // samples + 3)])
    off = (elbo.var() / len(elbo) + bounds[1].var() / len(bounds[1])).sqrt()
    assert abs(elbo.mean() - bounds[1].mean()) < 4 * off
    assert bounds[1].mean() + 0.1 < bounds[5].mean() < bounds[50].mean() - 0.05


def test_the_gradient_of_the_bound_weighs_the_samples_by_their_importance():
    model, batch = IWAE(**nets(), samples=6), digits(9)
    seeded(lambda: model.loss(batch)).backward()
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    mean, logvar = model.posterior(batch.x)
    logs = seeded(lambda: model.log_weights(batch.x, mean.expand(6, -1, -1), logvar))
    (-(logs.softmax(0).detach() * logs).sum(0).mean()).backward()
    for p, gradient in zip(model.parameters(), found, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-4, atol=1e-5)


def test_with_the_exact_posterior_every_bound_is_the_likelihood():
    class Exact(torch.nn.Module):
        """q(z|x) of x = z + noise: N(x / 2, 1 / 2)."""

        def forward(self, x):
            return torch.cat([x / 2, torch.full_like(x, 0.5).log()], 1)

    parts = {"encoder": Exact(), "decoder": torch.nn.Identity(), "latent": 3, "likelihood": "gaussian"}
    x = torch.randn(7, 3) * 2**0.5
    exact = MultivariateNormal(torch.zeros(3), 2 * torch.eye(3)).log_prob(x)
    for samples in (1, 4):
        torch.testing.assert_close(IWAE(**parts, samples=samples).bound(x), exact)
    measured = IWAE(**parts, samples=4).measure(Table(x, torch.zeros(7)))
    torch.testing.assert_close(measured["loss"], -exact)


def test_a_conditional_vae_draws_the_chosen_class_and_knows_which_class_explains_a_picture():
    from sklearn.linear_model import LogisticRegression

    data = digits()
    model = train(conditional(), data, 500)
    judge = LogisticRegression(C=0.1, max_iter=300).fit(data.x.flatten(1), data.y)
    with torch.no_grad():
        every = model.sample(100, Prior())
        three = model.sample(30, Prior(label="3"))
        right = (model.likeliest(data.x[:300]) == data.y[:300]).float().mean()
        error = (model.rebuild(data.x[:100]) - data.x[:100]).square().mean()
    assert judge.score(every.flatten(1), torch.arange(10).repeat_interleave(10)) > 0.8
    assert (judge.predict(three.flatten(1)) == 3).mean() > 0.8
    assert right > 0.8
    assert error < 0.5 * data.x.var(0).mean()
    report = model.report({name: value.detach() for name, value in model.measure(digits(40)).items()})
    assert report["nll"] > 0
    assert model.show(digits(40))["samples"].shape == (80, 1, 8, 8)


def test_the_code_of_a_conditional_vae_holds_style_and_class():
    model, data = conditional().eval(), digits(12)
    codes = model.embed(data)
    assert codes.shape == (12, 14)
    assert torch.equal(codes[:, 4:].argmax(1), data.y)
    assert model.decode(codes).shape == data.x.shape
    other = model.encoder(data.x, (data.y + 1) % 10)
    assert not torch.equal(other, model.encoder(data.x, data.y))


def test_labels_come_in_equal_shares_or_as_chosen():
    assert Prior().labels(20, NAMES).tolist() == [i // 2 for i in range(20)]
    assert Prior().labels(3, NAMES).tolist() == [0, 3, 6]
    assert Interpolation(label=7).labels(3, NAMES).tolist() == [7, 7, 7]
    assert Manifold(label="cat").labels(2, ["dog", "cat"]).tolist() == [1, 1]
    with pytest.raises(ConfigError, match=r"sampler.label=caat: no such class; did you mean cat\? classes: dog, cat"):
        Prior(label="caat").labels(2, ["dog", "cat"])
    with pytest.raises(ConfigError, match=r"VAE draws from no chosen class; .* model=cvae"):
        VAE(**nets()).sample(2, Prior(label=3))


def test_silenced_inputs_matter_in_training_alone():
    encoder, x = Encoder(inputs=64, widths=[8], latent=2, input_dropout=0.5), digits(5).x
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
