"""Embedded sets have their published sizes; formulas give what they say; configs state what is loaded."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

from dlcli.batch import Images
from dlcli.data.embedded import Bundled, Digits, digits
from dlcli.data.points import XOR, Blobs, Circles, Moons, Parity, Polynomial, Spirals, Tags
from dlcli.data.splits import check
from dlcli.errors import ConfigError

ROOT = Path("unused")
CONF = Path(__file__).parents[2] / "conf" / "data"
WITHOUT_FILES = sorted(
    path.stem
    for path in CONF.glob("*.yaml")
    if path.stem not in {"mnist", "fashion", "binary_mnist", "table", "arrays"} and "dlcli.data." in path.read_text()
)
OURS = ("dlcli.data.embedded.", "dlcli.data.points.")


def made(name):
    """Build the source that a config names; return the config as plain data, and the source."""
    node = OmegaConf.to_container(OmegaConf.create({"data": OmegaConf.load(CONF / f"{name}.yaml")}), resolve=True)
    source = dict(node["data"].pop("source"))
    module, _, cls = source.pop("_target_").rpartition(".")
    return node["data"], getattr(importlib.import_module(module), cls)(**source)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_configs_state_what_is_loaded(name):
    stated, source = made(name)
    if not (type(source).__module__ + ".").startswith(OURS):
        pytest.skip("a set of another kind")
    splits = source.load(ROOT)
    facts = splits.facts
    check(splits, facts.get("classes"))
    assert stated.pop("name") == name
    assert set(stated) == set(facts) - {"feature_names"}
    for key, value in stated.items():
        assert value is None or value == facts[key], key
    unknown = {key for key, value in stated.items() if value is None}
    assert unknown <= {"mean", "std", "target_mean", "target_std", "names"}


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_moments_are_those_of_the_training_split(name):
    source = made(name)[1]
    if not (type(source).__module__ + ".").startswith(OURS):
        pytest.skip("a set of another kind")
    splits = source.load(ROOT)
    images = isinstance(splits.train, Images)
    x = splits.train.x.double() / (255 if images else 1)
    mean, std = torch.tensor(splits.facts["mean"]), torch.tensor(splits.facts["std"])
    over = (0, 2, 3) if images else 0
    tolerance = {"atol": 1e-4} if images else {"rtol": 1e-5}
    torch.testing.assert_close(mean.double(), x.mean(over), **({"rtol": 0} | {"atol": 1e-8} | tolerance))
    torch.testing.assert_close(std.double(), x.std(over, correction=0), **({"rtol": 0} | {"atol": 1e-8} | tolerance))


@pytest.mark.parametrize(
    ("name", "sizes", "classes"),
    [
        ("iris", (90, 30, 30), [50] * 3),
        ("wine", (106, 36, 36), [59, 71, 48]),
        ("breast_cancer", (341, 114, 114), [212, 357]),
    ],
)
def test_tables(name, sizes, classes):
    splits = Bundled(name=name).load(ROOT)
    parts = splits[:3]
    assert tuple(part.size for part in parts) == sizes
    assert sum(part.y.bincount() for part in parts).tolist() == classes
    for part in parts:
        share = part.y.bincount() / part.size
        assert torch.allclose(share, torch.tensor(classes) / sum(classes), atol=1.01 / part.size)
    assert torch.equal(Bundled(name=name).load(ROOT).test.x, splits.test.x)
    assert not torch.equal(Bundled(name=name, split_seed=1).load(ROOT).test.x, splits.test.x)


def test_diabetes_is_in_its_own_units():
    splits = Bundled(name="diabetes").load(ROOT)
    assert [part.size for part in splits[:3]] == [266, 88, 88]
    assert splits.train.y.shape == (266, 1)
    assert 40 < splits.facts["mean"][0] < 55  # years of age
    y = splits.train.y.double()
    assert splits.facts["target_mean"][0] == pytest.approx(y.mean().item(), rel=1e-6)
    assert splits.facts["target_std"][0] == pytest.approx(y.std(correction=0).item(), rel=1e-6)


def test_digits_are_those_of_the_library_which_need_not_be_imported():
    found, (x, y) = load_digits(), digits()
    assert torch.equal(x[:, 0].double(), torch.from_numpy(found.images))
    assert torch.equal(y, torch.from_numpy(found.target).long())
    code = "import sys; from dlcli.data.embedded import digits; digits(); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_digits_are_all_there_once():
    raw, large = Digits(size=8).load(ROOT), Digits().load(ROOT)
    assert [part.size for part in raw[:3]] == [1079, 359, 359]
    assert sum(part.size for part in large[:3]) == 1797
    x = torch.cat([part.x for part in raw[:3]])
    assert len(x.unique(dim=0)) == 1797
    assert sorted(x.unique().tolist()) == [round(level * 255 / 16) for level in range(17)]
    assert torch.equal(raw.test.y, large.test.y)
    again = F.interpolate(raw.test.x.float(), size=(28, 28), mode="bilinear", align_corners=False)
    assert (again - large.test.x).abs().max() <= 1


def test_xor_truth_table():
    splits = XOR(samples=4, noise=0.0).load(ROOT)
    for part in splits[:3]:
        assert part.x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        assert part.y.tolist() == [0, 1, 1, 0]


def test_xor_noise_has_its_standard_deviation():
    train = XOR(samples=4000, noise=0.2).load(ROOT).train
    assert (train.x - train.x.round().clamp(0, 1)).std() == pytest.approx(0.2, abs=0.02)


def test_parity_is_the_whole_truth_table():
    splits = Parity(bits=5).load(ROOT)
    assert splits.train.x.unique(dim=0).shape == (32, 5)
    assert splits.train.y.tolist() == [bin(word).count("1") % 2 for word in range(32)]
    assert splits.facts["features"] == 5
    with pytest.raises(ConfigError, match="bits=40"):
        Parity(bits=40).load(ROOT)


def test_polynomial_by_horner():
    splits = Polynomial(coefficients=[1.0, 2.0, 3.0], noise=0.0, powers=3).load(ROOT)
    x, y = splits.train.x, splits.train.y
    assert torch.allclose(y[:, 0], (3 * x[:, 0] + 2) * x[:, 0] + 1, atol=1e-6)
    assert torch.allclose(x[:, 2], x[:, 0] ** 3)
    noisy = Polynomial(coefficients=[1.0, 2.0, 3.0], noise=0.5, powers=3, samples=5000).load(ROOT).train
    solution = torch.linalg.lstsq(torch.cat([torch.ones(5000, 1), noisy.x], 1), noisy.y).solution.flatten()
    assert torch.allclose(solution, torch.tensor([1.0, 2.0, 3.0, 0.0]), atol=0.1)


@pytest.mark.parametrize("source", [XOR(), Moons(), Circles(), Spirals(), Blobs(), Tags(), Polynomial()])
def test_draws_differ_and_repeat(source):
    splits = source.load(ROOT)
    assert [part.size for part in splits[:3]] == [400] * 3
    rows = torch.cat([part.x for part in splits[:3]])
    assert len(rows.unique(dim=0)) == 1200  # no row in two splits
    assert torch.equal(source.load(ROOT).test.x, splits.test.x)
    other = type(source)(split_seed=1).load(ROOT)
    assert not any(torch.equal(part.x, other.train.x) for part in splits[:3])


def test_shapes_of_the_plane():
    def points(source):
        train = source.load(ROOT).train
        return [train.x[train.y == c] for c in train.y.unique()]

    inner, outer = (x.norm(dim=1) for x in points(Circles(noise=0.0)))
    assert torch.allclose(inner, torch.tensor(0.5))
    assert torch.allclose(outer, torch.tensor(1.0))
    upper, lower = points(Moons(noise=0.0))
    assert upper[:, 1].min() >= 0
    assert torch.allclose(upper.norm(dim=1), torch.tensor(1.0))
    assert torch.allclose((lower - torch.tensor([1.0, 0.5])).norm(dim=1), torch.tensor(1.0))
    assert lower[:, 1].max() <= 0.5
    centres = torch.stack([x.mean(0) for x in points(Blobs(classes=5, noise=0.01, samples=500))])
    assert torch.allclose(centres.norm(dim=1), torch.tensor(1.0), atol=0.01)
    first, second = points(Spirals(noise=0.0, turns=1.0))
    for arm, sign in ((first, 1), (second, -1)):
        radius = arm.norm(dim=1)
        angle = 2 * torch.pi * radius
        assert torch.allclose(arm, sign * radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1), atol=1e-5)


def test_tags_come_from_half_spaces_common_to_all_splits():
    splits = Tags(noise=0.0, samples=2000).load(ROOT)
    assert splits.train.y.shape == (2000, 4)
    assert "classes" not in splits.facts
    assert 0.4 < splits.train.y.mean() < 0.6
    weights = torch.linalg.lstsq(splits.train.x, 2 * splits.train.y - 1).solution
    agreement = ((splits.test.x @ weights > 0).float() == splits.test.y).float().mean()
    assert agreement > 0.95
    assert len(splits.train.y.unique(dim=0)) == 16  # the labels are not exclusive


def test_made_sets_refuse_nonsense():
    with pytest.raises(ConfigError, match="samples=0"):
        XOR(samples=0).load(ROOT)
    with pytest.raises(ConfigError, match="noise=-1"):
        Moons(noise=-1.0).load(ROOT)
    with pytest.raises(ConfigError, match="choose from iris, wine"):
        Bundled(name="irises").load(ROOT)
