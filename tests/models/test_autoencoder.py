"""The autoencoder: equal to PCA where it is linear, its parts by what they do, and what becomes of its encoder."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from dlcli.batch import Images, Table
from dlcli.corruptions import Clean, Gaussian
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models.autoencoder import Autoencoder
from dlcli.models.restorer import Restorer
from dlcli.nets.autoencoder import Encoder
from dlcli.nets.vae import Decoder
from dlcli.optimizers import Muon
from dlcli.penalties import L1, Contraction, Free, Sparsity
from dlcli.samplers import Interpolation, Manifold, Prior


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def small(latent=10, code="identity", widths=(), active=0, **more) -> Autoencoder:
    """Return an autoencoder of 8x8 pictures."""
    return Autoencoder(
        encoder=Encoder(inputs=64, widths=widths, latent=latent, code=code, active=active),
        decoder=Decoder(latent=latent, widths=list(widths)[::-1], shape=[1, 8, 8]),
        inputs=64,
        latent=latent,
        **more,
    )


def train(model, data, steps, optimizer=None, size=128):
    """Run the shortest training loop that obeys the contract, with a rate that falls to zero."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-2)
    rate = optimizer.param_groups[0]["lr"]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps) ** 2
        chosen = torch.randperm(data.size)[:size]
        for update in model.updates(type(data)(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()
    return model.eval()


def scores(model, data) -> dict[str, float]:
    """Return the scores on a set."""
    with torch.no_grad():
        return model.score(model.measure(data))


def test_a_linear_autoencoder_ends_as_principal_component_analysis():
    data, latent = digits(), 4
    x = data.x.flatten(1)
    _, s, axes = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    best = (s[latent:].square().sum() / len(x)).item()  # what rank 4 must leave
    model = small(latent, output="identity")
    train(model, data, 500, Muon(model.parameters(), lr=0.05, weight_decay=0), size=len(x))
    assert scores(model, data)["error"] == pytest.approx(best, rel=1e-3)
    span, _ = torch.linalg.qr(model.decoder.layers[1].weight.detach())  # (64, 4)
    angles = torch.linalg.svdvals(axes[:latent] @ span).clamp(max=1).acos() * 180 / math.pi
    assert angles.max() < 1


def test_a_linear_autoencoder_with_room_for_everything_becomes_the_identity():
    encoder, decoder = Encoder(inputs=6, widths=[], latent=6), Decoder(latent=6, widths=[], shape=[6])
    model = Autoencoder(encoder=encoder, decoder=decoder, inputs=6, latent=6, output="identity")
    train(model, Table(torch.randn(500, 6), torch.zeros(500)), 500)
    assert scores(model, Table(torch.randn(500, 6), torch.zeros(500)))["error"] < 1e-6
    both = decoder.layers[1].weight @ encoder.layers[1].weight
    torch.testing.assert_close(both, torch.eye(6), rtol=0, atol=1e-3)


def test_a_penalty_on_activations_makes_codes_sparse_that_still_rebuild():
    data, shares = digits(), []
    for penalty in (None, L1(weight=0.1)):
        torch.manual_seed(0)
        model = train(small(80, code="relu", penalty=penalty), data, 300)
        with torch.no_grad():
            shares.append((model.embed(data) > 1e-3).double().mean().item())
    assert shares[1] < 0.4 * shares[0]
    assert scores(model, data)["error"] < 0.5 * (data.x - data.x.mean(0)).square().flatten(1).sum(1).mean()


def test_the_target_is_clean_and_the_loss_a_sum_over_pixels():
    model, data = small(corruption=Gaussian(std=0.4)), digits()
    batch = Images(data.x[:6], data.y[:6])
    torch.manual_seed(1)
    loss = model.loss(batch)
    torch.manual_seed(1)
    given = (batch.x + 0.4 * torch.randn_like(batch.x)).clamp(0, 1)
    rebuilt = model.decoder(model.encoder(given)).sigmoid()
    torch.testing.assert_close(loss, 64 * nn.functional.mse_loss(rebuilt, batch.x))
    torch.manual_seed(1)
    found = scores(model, batch)
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert found["mse"] == pytest.approx(found["error"] / 64, rel=1e-6)
    assert found["gain"] == pytest.approx(found["psnr"] - found["input_psnr"], rel=1e-6)


def test_the_bernoulli_likelihood_is_the_cross_entropy_and_knows_its_range():
    model, batch = small(likelihood="bernoulli"), Images(torch.rand(5, 1, 8, 8), torch.zeros(5))
    entropy = nn.functional.binary_cross_entropy(model.rebuild(batch.x), batch.x, reduction="sum") / 5
    torch.testing.assert_close(model.loss(batch), entropy)
    with pytest.raises(DataError, match=r"bernoulli.*\[0, 1\].*gaussian"):
        model.measure(Images(batch.x + 0.5, batch.y))
    with pytest.raises(ConfigError, match=r"model\.output=sigmoid"):
        small(likelihood="bernoulli", output="identity")
    with pytest.raises(ConfigError, match="unknown output 'tanh'"):
        small(output="tanh")
    with pytest.raises(ConfigError, match="unknown likelihood"):
        small(likelihood="poisson")


def test_an_autoencoder_learns_digits_and_its_parts_say_what_they_do():
    data = digits()
    model = train(small(10, widths=[64]), data, 250)
    found = scores(model, data)
    x = data.x.flatten(1)
    assert found["error"] < 0.35 * (x - x.mean(0)).square().sum(1).mean()
    with torch.no_grad():
        codes = model.embed(data)
        torch.testing.assert_close(model.decode(codes), model.rebuild(data.x))
        shown = model.show(data)
    assert shown["reconstruction"].shape == (64, 1, 8, 8)
    torch.testing.assert_close(shown["reconstruction"][16:24], data.x[8:16])  # rows alternate
    assert {"random codes", "between codes"} <= shown.keys()


def test_samples_walk_between_real_codes_and_stay_in_their_range():
    data = digits()
    model = train(small(6), data, 100)
    with torch.no_grad():
        real = model.decode(model.codes)
        ends = model.sample(16, Interpolation(steps=2))
        gaps = (ends.flatten(1)[:, None] - real.flatten(1)).square().sum(2).min(1).values
        torch.testing.assert_close(gaps, torch.zeros(16), atol=1e-6, rtol=0)
        torch.manual_seed(1)
        z = (model.codes.mean(0) + model.codes.std(0) * torch.randn(5, 6),)
        torch.manual_seed(1)
        torch.testing.assert_close(model.sample(5, Prior()), model.decode(*z))
    with pytest.raises(ConfigError, match="latent=6"):
        model.sample(4, Manifold())
    with pytest.raises(ConfigError, match="draws from no chosen class"):
        model.sample(4, Prior(label="3"))


def test_the_kept_codes_are_the_newest_and_part_of_the_state():
    model, data = small(3), digits()
    for first in (0, 40):
        list(model.updates(Images(data.x[first : first + 40], data.y[first : first + 40]), Clock(0, 9)))
    with torch.no_grad():
        order = torch.cat([data.x[40:80], data.x[:24]])
        torch.testing.assert_close(model.codes, model.encoder(order))
    assert "codes" in model.state_dict()


def test_penalties_make_codes_sparse_or_flat():
    data = digits()

    def codes(**more):
        torch.manual_seed(0)
        model = train(small(80, code="sigmoid", **more), data, 100)
        with torch.no_grad():
            measured = model.measure(data)
            return model.report(measured)["mean_activation"], Contraction(weight=1.0)(
                model.encoder, data.x, measured["code"]
            ).mean()

    (free, slope), (sparse, _), (_, flat) = (
        codes(penalty=Free()),
        codes(penalty=Sparsity(weight=3.0, target=0.05)),
        codes(penalty=Contraction(weight=0.5)),
    )
    assert sparse == pytest.approx(0.05, abs=0.03)
    assert free > 0.2
    assert flat < 0.5 * slope


def test_a_k_sparse_code_reports_its_share():
    model = small(40, active=4)
    with torch.no_grad():
        report = model.report(model.measure(digits()))
    assert 0 < report["active_share"] <= 0.1


def test_training_pixels_outside_zero_and_one_are_refused_at_the_first_batch():
    wide = Images(2 * digits().x, digits().y)
    for model in (small(likelihood="bernoulli"), Restorer(net=nn.Identity(), corruption=Clean(), likelihood="bernoulli",
                                                          output="sigmoid")):  # fmt: skip
        with pytest.raises(DataError, match=r"likelihood=bernoulli .* from 0 to 2; use model\.likelihood=gaussian"):
            next(model.updates(wide, Clock(0, 9)))
    next(small().updates(wide, Clock(0, 9)))


def test_codes_that_can_hold_the_identity_are_told():
    (line,) = small(64).notes()
    assert "64 numbers can hold all 64" in line
    assert "corruption=gaussian" in line
    assert small(64, corruption=Clean(), penalty=Free()).notes()
    assert small(64, corruption=Gaussian(std=0.0)).notes()
    assert small(64, active=64).notes()  # all stay on
    fine = [small(63), small(64, corruption=Gaussian()), small(64, penalty=L1()), small(64, active=9)]
    assert not [model for model in fine if model.notes()]


def test_the_warning_is_printed_once(dl, undrawn):
    words = ("train", "model=autoencoder", "data=digits8", "epochs=1", "model.latent=64", "max_steps=1")
    code, out, _ = dl(*words)
    assert code == 0
    assert out.count("may learn the identity") == 1


def test_a_code_of_two_numbers_is_drawn_and_tables_have_codes_too():
    model, data = small(2), digits()
    with torch.no_grad():
        assert hasattr(model.report(model.measure(data))["latent"], "savefig")
    table = Autoencoder(
        encoder=Encoder(inputs=5, widths=[], latent=2),
        decoder=Decoder(latent=2, widths=[], shape=[5]),
        inputs=5,
        latent=2,
        output="identity",
    )
    batch = Table(torch.randn(10, 5), torch.randn(10, 1))
    assert scores(table, batch).keys() == {"loss", "error", "mse"}
    assert table.show(batch) == {}


def test_restoration_beats_what_it_was_given():
    data = digits()
    net = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2))
    model = train(Restorer(net=net, corruption=Gaussian(std=0.3)), data, 100)
    with torch.no_grad():
        measured = model.measure(data)
        shown = model.show(data)["restoration"]
    found, table = model.score(measured), model.report(measured)["restoration"]
    assert found["gain"] > 2
    assert table["restored"]["ssim"] > table["as given"]["ssim"]
    assert table["restored"]["psnr"] == pytest.approx(found["psnr"])
    assert shown.shape == (96, 1, 8, 8)
    torch.testing.assert_close(shown[16:24], data.x[:8])  # given, restored, true
    assert Restorer(net=nn.Identity(), corruption=Clean()).notes()


def test_a_pretrained_encoder_becomes_the_net_of_a_classifier(dl, undrawn):
    quick = ("data=digits8", "epochs=3")
    assert dl("train", "model=autoencoder", *quick, "model.encoder.widths=[32]", "model.latent=16", "name=ae")[0] == 0
    code, out, err = dl(
        "train", "model=mlp", *quick, "model.net.widths=[32,16]", "init_from=ae-digits8", "init_names={encoder:net}",
        "learn=[net.layers.5.*]", "limit=0.1", "batch=32", "optimizer.lr=1e-2",
    )  # fmt: skip
    assert code == 0, err
    assert "6 of 8 tensors taken; not taken: net.layers.5.weight" in out
    code, out, err = dl(
        "train", "model=encoder_classifier", *quick, "model.net.encoder.widths=[32]", "model.net.latent=16",
        "init_from=ae-digits8", "init_names={encoder:net.encoder}", "limit=0.1", "batch=32",
    )  # fmt: skip
    assert code == 0, err
    assert "not taken: net.head.weight" in out
