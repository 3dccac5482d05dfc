"""PCA: against scikit-learn and the singular values, whatever the batches; its pictures and its stops."""

from itertools import pairwise

import pytest
import torch
from sklearn import decomposition
from sklearn.datasets import load_digits

from dlcli.batch import Images
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.principal import PCA
from dlcli.samplers import Interpolation, Prior


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def fitted(size: int, latent: int = 10, epochs: int = 1) -> PCA:
    """Return the components of the digits, learned in batches of a size."""
    model, data = PCA(shape=[1, 8, 8], latent=latent), digits()
    for _ in range(epochs):
        for x, y in zip(data.x.split(size), data.y.split(size), strict=True):
            assert list(model.updates(Images(x, y), Clock(0, 1))) == []
    return model.eval()


@pytest.mark.parametrize(("size", "epochs"), [(1797, 1), (64, 1), (7, 2)])
def test_any_batches_give_scikit_learn_s_components(size, epochs):
    model, x = fitted(size, epochs=epochs), digits().x.flatten(1)
    other = decomposition.PCA(10).fit(x.numpy())
    torch.testing.assert_close(model.mean, x.mean(0), atol=1e-5, rtol=0)
    cosines = (model.axes * torch.from_numpy(other.components_).float()).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(10), atol=1e-4, rtol=0)
    variance = torch.from_numpy(other.explained_variance_).float() * 1796 / 1797
    torch.testing.assert_close(model.variance, variance, atol=0, rtol=1e-4)


def test_the_error_is_the_sum_of_the_dropped_squares_and_falls_with_every_component():
    data = digits()
    x = data.x.flatten(1)
    dropped = torch.linalg.svdvals((x - x.mean(0)).double()).square() / len(x)
    model = fitted(200, latent=64)
    measured = model.measure(data)
    table = model.report(measured)["components"]
    assert list(table) == ["1", "2", "5", "10", "20", "40", "60", "64"]
    errors = [row["error"] for row in table.values()]
    for k, error in zip(table, errors, strict=True):
        assert error == pytest.approx(dropped[int(k) :].sum().item(), rel=1e-3, abs=1e-4)
    assert all(after < before for before, after in pairwise(errors))
    assert model.score(measured)["error"] == pytest.approx(0, abs=1e-4)  # U U^T X = X at full rank
    torch.testing.assert_close(model.rebuild(data.x), data.x, atol=1e-3, rtol=0)


def test_codes_samples_and_pictures():
    model, data = fitted(100), digits()
    codes = model.embed(data)
    torch.testing.assert_close(model.decode(codes), model.rebuild(data.x))
    torch.testing.assert_close(codes.var(0, correction=0), model.variance, atol=1e-4, rtol=1e-3)
    torch.manual_seed(0)
    drawn = model.sample(4000, Prior()).flatten(1)
    torch.testing.assert_close(drawn.mean(0), model.mean, atol=0.03, rtol=0)
    assert model.sample(6, Interpolation(steps=3)).shape == (6, 1, 8, 8)
    report = model.report(model.measure(data))
    assert all(hasattr(report[name], "savefig") for name in ("axes", "rebuilt"))
    assert model.show(data)["reconstruction"].shape == (64, 1, 8, 8)


def test_the_state_of_an_interrupted_fit_is_enough():
    data, whole = digits(), fitted(300)
    half = PCA(shape=[1, 8, 8], latent=10)
    for number, (x, y) in enumerate(zip(data.x.split(300), data.y.split(300), strict=True)):
        if number == 3:
            saved, half = half.state_dict(), PCA(shape=[1, 8, 8], latent=10)
            half.load_state_dict(saved)
        half.updates(Images(x, y), Clock(0, 1))
    half.eval()
    assert all(value.equal(half.state_dict()[name]) for name, value in whole.state_dict().items())


def test_more_components_than_numbers_are_refused():
    with pytest.raises(ConfigError, match=r"latent=65.*at most 64"):
        PCA(shape=[1, 8, 8], latent=65)


def test_a_run_takes_no_step_and_samples(dl, undrawn):
    code, out, err = dl("train", "model=pca", "data=digits8", "model.latent=20", "batch=100")
    assert code == 0, err
    assert "players: none" in out
    assert "no effect" not in out
    assert dl("sample", "n=9")[0] == 0


def test_settings_of_an_optimizer_that_nobody_has_are_told(dl, undrawn):
    out = dl("train", "model=pca", "data=digits8", "model.latent=9", "optimizer=sgd", "optimizer.lr=0.1")[1]
    assert "warning  optimizer=sgd optimizer.lr=0.1: no effect; PCA learns without an optimizer" in out
    assert "no effect" not in dl("train", "model=softmax", "data=digits8", "optimizer.lr=0.1", "epochs=1")[1]
