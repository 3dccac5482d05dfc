"""The VQ-VAE: its codebook by hand, the gradient that goes straight through, the prior, and digits."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from dlcli.batch import Images
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models.vqvae import VQVAE, apart, perplexity
from dlcli.nets.vqvae import Codebook, MapDecoder, MapEncoder, Prior
from dlcli.samplers import Manifold
from dlcli.samplers import Prior as Usual


def digits(count=1797) -> Images:
    """Return handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x[:count] / 16).float().view(-1, 1, 8, 8), torch.tensor(y[:count]).long())


def small(decay=0.9, **more) -> VQVAE:
    """Return a VQ-VAE of 8x8 pictures with a grid of 4x4 codes."""
    return VQVAE(
        encoder=MapEncoder(channels=1, widths=[16], latent=6),
        decoder=MapDecoder(channels=1, height=8, width=8, widths=[16], latent=6),
        codebook=Codebook(codes=12, latent=6, decay=decay),
        prior=Prior(codes=12, height=8, width=8, widths=[16], hidden=32),
        **more,
    )


def train(model, data, steps):
    """Run the shortest training loop that obeys the contract."""
    optimizers = {name: torch.optim.Adam(list(players), lr=5e-3) for name, players in model.players().items()}
    for step in range(steps):
        chosen = torch.randperm(data.size)[:64]
        for update in model.updates(Images(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            optimizers[update.player].zero_grad()
            update.loss.backward()
            optimizers[update.player].step()
    return model.eval()


def test_training_pixels_outside_zero_and_one_are_refused_at_the_first_batch():
    data = digits(4)
    with pytest.raises(DataError, match="the data reach from 0 to 3"):
        next(small().updates(Images(3 * data.x, data.y), Clock(0, 9)))


def test_the_nearest_entry_is_found():
    book, maps = Codebook(codes=9, latent=4), torch.randn(3, 4, 2, 5)
    book.vectors.copy_(torch.randn(9, 4))
    flat = maps.movedim(1, -1).reshape(-1, 4)
    assert torch.equal(book.nearest(maps).flatten(), torch.cdist(flat, book.vectors).argmin(1))
    assert torch.equal(book(book.nearest(maps)).movedim(1, -1)[1, 0, 2], book.vectors[book.nearest(maps)[1, 0, 2]])


def test_codes_and_means_are_the_same_bits_under_autocast():
    maps, books = torch.randn(4, 8, 6, 6).bfloat16(), [Codebook(codes=64, latent=8) for _ in range(2)]
    books[0].vectors.normal_()
    books[1].load_state_dict(books[0].state_dict())
    chosen = books[0].nearest(maps.float())
    torch.manual_seed(1)
    books[0].follow(maps.float(), chosen)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        found = books[1].nearest(maps)
        books[1].follow(maps, found)
    assert found.equal(chosen)
    assert books[0].sums.equal(books[1].sums)


def test_entries_follow_the_running_means():
    book = Codebook(codes=2, latent=1, decay=0.75)
    book.vectors.copy_(torch.tensor([[0.0], [10.0]]))
    book.counts.fill_(4.0)
    book.sums.copy_(4 * book.vectors)
    maps = torch.tensor([1.0, 2.0, 3.0, 12.0]).view(1, 1, 1, 4)
    book.follow(maps, book.nearest(maps))
    # counts 3 + 0.75, 3 + 0.25; sums 0 + 1.5, 30 + 3
    torch.testing.assert_close(book.counts, torch.tensor([3.75, 3.25]))
    torch.testing.assert_close(book.vectors, torch.tensor([[1.5 / 3.75], [33 / 3.25]]))


def test_an_entry_that_nothing_chooses_goes_where_the_vectors_are():
    book = Codebook(codes=4, latent=3, decay=0.9)
    maps = torch.randn(5, 3, 2, 2) + 7
    book.follow(maps, book.nearest(maps))
    flat = maps.movedim(1, -1).reshape(-1, 3)
    fresh = torch.cdist(book.vectors, flat).min(1).values < 1e-5
    assert fresh.sum() >= 3
    assert (book.vectors.mean(1) > 4).all()


def test_the_gradient_goes_straight_through():
    model, x = small(commitment=0.0), digits(6).x
    maps = model.encoder(x).detach().requires_grad_()
    codes = model.codebook.nearest(maps)
    model.autoencode(x, maps, codes).sum().backward()
    entries = model.codebook(codes).detach().requires_grad_()
    (-model.log_likelihood(model.decoder(entries), x)).sum().backward()
    torch.testing.assert_close(maps.grad, entries.grad)


def test_commitment_pulls_the_encoder_and_the_other_loss_the_codebook():
    model, x = small(decay=0.0, commitment=0.25), digits(6).x
    nn.init.zeros_(model.decoder.layers[0].weight)  # the decoder sees nothing: only the two distances have a gradient
    maps = model.encoder(x).detach().requires_grad_()
    codes = model.codebook.nearest(maps)
    model.autoencode(x, maps, codes).sum().backward()
    off = (maps - model.codebook(codes)).detach()
    torch.testing.assert_close(maps.grad, 0.25 * 2 * off)
    pulled = torch.zeros(12, 6).index_add(0, codes.flatten(), -2 * off.movedim(1, -1).flatten(0, 2))
    torch.testing.assert_close(model.codebook.vectors.grad, pulled)
    assert "codebook.vectors" in dict(model.named_parameters())
    assert "codebook.vectors" not in dict(small().named_parameters())


def test_perplexity_counts_the_codes_in_use():
    assert perplexity(torch.arange(8).repeat(5)) == pytest.approx(8)
    assert perplexity(torch.full((3, 4), 2)) == pytest.approx(1)
    assert perplexity(torch.tensor([0, 0, 0, 1])) == pytest.approx(
        math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    )


def test_the_prior_is_a_distribution_that_looks_only_back():
    prior = Prior(codes=3, height=4, width=4, widths=[1], hidden=8).eval()
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)  # (81, 4)
    logs = prior(every).log_softmax(2).gather(2, every.unsqueeze(2)).sum((1, 2))
    assert logs.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    drawn = prior.sample(20_000).flatten(1)
    index = (drawn * torch.tensor([27, 9, 3, 1])).sum(1)
    shares = torch.bincount(index, minlength=81) / len(drawn)
    assert (shares - logs.exp()).abs().max() < 0.01  # it draws what it says
    cold = prior.sample(50, temperature=1e-4).flatten(1)
    assert (cold == cold[0]).all()


@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_a_vqvae_learns_digits(decay):
    data = digits()
    model = small(decay)
    before = model.score(model.measure(data))
    train(model, data, 250)
    with torch.no_grad():
        measured = model.measure(data)
    after = model.score(measured)
    assert after["loss"] == pytest.approx(after["reconstruction"] + after["prior"])
    assert after["loss"] < before["loss"] - 10
    assert after["prior"] < 0.9 * 16 * math.log(after["perplexity"])  # better than codes drawn by their frequency
    assert after["perplexity"] > 4
    assert (model.rebuild(data.x[:50]) - data.x[:50]).square().mean() < 0.5 * data.x.var(0).mean()
    report = model.report(measured)
    assert 4 < report["codes_in_use"] <= 12
    assert report["codes_per_example"] == 16


def test_codes_go_out_and_in():
    model, data = small(), digits(40)
    codes = model.embed(data)
    assert codes.shape == (40, 6 * 4 * 4)
    torch.testing.assert_close(model.decode(codes), model.rebuild(data.x))
    assert apart(codes, codes).eq(0).all()
    shown = model.show(data)
    assert {name: len(pictures) for name, pictures in shown.items()} == {"reconstruction": 64, "samples": 32}
    with pytest.raises(ConfigError, match="use sampler=prior"):
        model.sample(4, Manifold())
    assert model.sample(4, Usual(temperature=0.5)).shape == (4, 1, 8, 8)


def test_numbers_outside_zero_and_one_need_another_likelihood():
    data = digits(4)
    with pytest.raises(DataError, match=r"use model\.likelihood=gaussian"):
        small().measure(Images(16 * data.x, data.y))
