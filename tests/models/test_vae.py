"""The variational autoencoder: its bound against torch.distributions, its likelihood against a closed form."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from dlcli.batch import Images, Table
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models import vae
from dlcli.models.vae import VAE
from dlcli.nets.vae import ConvDecoder, ConvEncoder, Decoder, Encoder
from dlcli.samplers import Manifold, Prior


def small(latent=3, **more) -> VAE:
    """Return a VAE of 8x8 pictures."""
    return VAE(
        encoder=Encoder(inputs=64, widths=[64], latent=latent),
        decoder=Decoder(latent=latent, widths=[64], shape=[1, 8, 8]),
        latent=latent,
        **more,
    )


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def train(model, data, steps):
    """Run the shortest training loop that obeys the contract."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        chosen = torch.randperm(data.size)[:64]
        for update in model.updates(Images(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()
    return model.eval()


def test_the_bound_agrees_with_torch_distributions():
    model, batch = small(), Images(torch.rand(5, 1, 8, 8).round(), torch.zeros(5).long())
    torch.manual_seed(1)
    found = model.measure(batch)
    torch.manual_seed(1)
    mean, logvar = model.encoder(batch.x).chunk(2, dim=1)
    posterior, prior = Normal(mean, (0.5 * logvar).exp()), Normal(torch.zeros(3), torch.ones(3))
    z = posterior.rsample()
    fit = Bernoulli(logits=model.decoder(z)).log_prob(batch.x).flatten(1).sum(1)
    kl = kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(found["reconstruction"], -fit)
    torch.testing.assert_close(found["kl"], kl)
    torch.testing.assert_close(found["loss"], kl - fit)
    torch.testing.assert_close(found["mean"], mean)


def test_the_kl_weight_rises_with_progress_and_is_one_when_measured():
    model, batch = small(beta=4.0, warmup=0.5), Images(torch.rand(5, 1, 8, 8), torch.zeros(5).long())
    kl = model.measure(batch)["kl"].mean()

    def loss(step):
        torch.manual_seed(1)
        (update,) = model.updates(batch, Clock(step, 100))
        return update.loss

    assert (loss(25) - loss(0)).item() == pytest.approx(2 * kl.item(), rel=1e-4)
    assert (loss(75) - loss(0)).item() == pytest.approx(4 * kl.item(), rel=1e-4)
    torch.manual_seed(1)
    assert model.score(model.measure(batch))["loss"] == pytest.approx((loss(0) + kl).item(), rel=1e-5)


class Posterior(nn.Module):
    """The exact posterior of x = A z + b + scale * noise, or one shifted from it by `off`."""

    def __init__(self, a, b, scale, off=0.0):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        precision = (a.T @ a / scale**2).diagonal() + 1  # A has orthogonal columns: the posterior is diagonal
        self.a, self.b, self.scale, self.off, self.variance = a, b, scale, off, 1 / precision

    def forward(self, x):
        mean = (x - self.b) @ self.a / self.scale**2 * self.variance + self.off
        return torch.cat([mean, self.variance.log().expand_as(mean)], 1)


class Affine(nn.Module):
    """A z + b."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b

    def forward(self, z):
        return z @ self.a.T + self.b


def linear_gaussian(off):
    """Return a VAE whose log p(x) is known, some x drawn from it, and the exact -log p(x)."""
    a = torch.linalg.qr(torch.randn(6, 2))[0] * torch.tensor([2.0, 0.7])
    b, scale = torch.randn(6), 0.5
    exact = MultivariateNormal(b, a @ a.T + scale**2 * torch.eye(6))
    model = VAE(encoder=Posterior(a, b, scale, off), decoder=Affine(a, b), latent=2, likelihood="gaussian", scale=scale)
    x = exact.sample((40,))
    return model, x, -exact.log_prob(x)


def test_with_the_exact_posterior_one_sample_gives_the_exact_likelihood():
    model, x, exact = linear_gaussian(off=0.0)
    torch.testing.assert_close(model.nll(x, 1), exact, atol=1e-4, rtol=1e-4)
    measured = model.measure(Table(x, torch.zeros(40)))
    assert measured["loss"].mean().item() == pytest.approx(exact.mean().item(), abs=0.6)


def test_importance_sampling_closes_the_gap_of_a_wrong_posterior():
    model, x, exact = linear_gaussian(off=0.3)
    gaps = [(model.nll(x, samples) - exact).mean().item() for samples in (1, 10, 3000)]
    assert gaps[0] > gaps[1] > abs(gaps[2])
    assert abs(gaps[2]) < 0.02


def test_chunks_of_samples_are_joined_correctly(monkeypatch):
    model, x, exact = linear_gaussian(off=0.3)
    monkeypatch.setattr(vae, "ELEMENTS", 7 * x.numel())  # 2000 samples in chunks of 7
    calls = []
    model.decoder.register_forward_hook(lambda _, inputs, output: calls.append(len(output)))
    torch.testing.assert_close(model.nll(x, 2000), exact, atol=0.1, rtol=0)
    assert sum(calls) == 2000 * 40
    assert max(calls) == 7 * 40


def test_a_vae_learns_digits_and_reports():
    data = digits()
    model = small(latent=2, importance=20)
    before = model.score(model.measure(data))
    train(model, data, 250)
    with torch.no_grad():
        measured = model.measure(data)
    after, report = model.score(measured), model.report(measured)
    assert after["loss"] < before["loss"] - 12
    assert after["loss"] == pytest.approx(after["reconstruction"] + after["kl"], rel=1e-6)
    assert report["nll"] < after["loss"]
    assert 0 < report["nll_standard_error"] < 1
    assert report["active_units"] == 2
    assert hasattr(report["latent"], "savefig")
    assert model.sample(9, Manifold()).shape == (9, 1, 8, 8)
    assert torch.equal(model.embed(data), model.posterior(data.x)[0])


def test_a_unit_that_ignores_its_input_is_not_active():
    model, data = small(latent=3, importance=2), digits()
    with torch.no_grad():
        head = model.encoder.layers[-1]
        head.weight[1].zero_()
        head.weight[[0, 2]] *= 20
    assert model.report(model.measure(data))["active_units"] == 2


def test_samples_and_reconstructions_lie_between_black_and_white():
    model = VAE(
        encoder=ConvEncoder(channels=1, height=8, width=8, widths=[4, 8], latent=5),
        decoder=ConvDecoder(channels=1, height=8, width=8, widths=[4, 8], latent=5),
        latent=5,
    )
    shown = model.show(digits())
    assert shown["reconstruction"].shape == (64, 1, 8, 8)
    torch.testing.assert_close(shown["reconstruction"][16:24], digits().x[8:16])  # rows alternate
    for pictures in (*shown.values(), model.sample(4, Prior())):
        assert pictures.min() >= 0
        assert pictures.max() <= 1
    with pytest.raises(ConfigError, match="latent=5"):
        model.sample(4, Manifold())


def test_a_gaussian_vae_takes_tables():
    model = VAE(
        encoder=Encoder(inputs=6, widths=[8], latent=2),
        decoder=Decoder(latent=2, widths=[8], shape=[6]),
        latent=2,
        likelihood="gaussian",
    )
    batch = Table(torch.randn(10, 6), torch.randn(10, 1))
    measured = model.measure(batch)
    assert measured["reconstruction"].mean() > 3 * math.log(2 * math.pi)
    assert model.show(batch) == {}
    assert {"nll", "latent"} <= set(model.report({name: value.detach() for name, value in measured.items()}))
