"""Mixup, cutmix and RandAugment against loops over pictures, and what a classifier learns from soft labels."""

import pytest
import torch
import torch.nn.functional as F

from dlcli.batch import Images, Masks
from dlcli.config import paths
from dlcli.config.build import build
from dlcli.data.mix import Cutmix, Mixup, beta, quantiles
from dlcli.data.randaugment import OPERATIONS, RandAugment
from dlcli.data.randomness import Counter
from dlcli.errors import ConfigError
from dlcli.models.classifier import Classifier


def batch(count=40, classes=5):
    generator = torch.Generator().manual_seed(0)
    return Images(torch.rand(count, 3, 8, 6, generator=generator), torch.arange(count) % classes)


def counter(count=40, epoch=1):
    return Counter(3, epoch, torch.arange(count))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(alpha):
    from scipy.stats import beta as reference
    from scipy.stats import kstest

    drawn = beta(Counter(0, 0, torch.arange(4000))(1), alpha).flatten()
    assert kstest(drawn.numpy(), reference(alpha, alpha).cdf).pvalue > 0.01
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_alpha_zero_mixes_nothing():
    for step in (Mixup(classes=5, alpha=0.0), Cutmix(classes=5, alpha=0.0)):
        mixed = step(batch(), counter())
        assert torch.equal(mixed.x, batch().x)
        assert torch.equal(mixed.y, F.one_hot(batch().y, 5).float())
    assert quantiles(0.0).unique().tolist() == [1.0]


def test_mixup_by_a_loop():
    data, draw = batch(), counter()
    share, partner = beta(draw(1), 0.4), draw(1).flatten().argsort(stable=True)
    mixed = Mixup(classes=5, alpha=0.4)(data, counter())
    for b in range(40):
        k, other = share[b].item(), int(partner[b])
        assert torch.allclose(mixed.x[b], k * data.x[b] + (1 - k) * data.x[other], atol=1e-6)
        expected = torch.zeros(5)
        expected[data.y[b]] += k
        expected[data.y[other]] += 1 - k
        assert torch.allclose(mixed.y[b], expected, atol=1e-6)
    assert partner.sort().values.equal(torch.arange(40))


def test_cutmix_pastes_a_box_and_counts_its_pixels():
    data, draw = batch(200), counter(200)
    draw(1)
    partner = draw(1).flatten().argsort(stable=True)
    mixed = Cutmix(classes=5)(data, counter(200))
    other = data.x[partner]
    pasted = (mixed.x == other).all(1) & (mixed.x != data.x).any(1)  # (B, H, W)
    assert torch.equal(torch.where(pasted[:, None], other, data.x), mixed.x)
    for b in (partner != torch.arange(200)).nonzero().flatten().tolist():
        rows, columns = pasted[b].any(1).nonzero().flatten(), pasted[b].any(0).nonzero().flatten()
        if len(rows):
            assert pasted[b, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        area = pasted[b].float().mean().item()
        expected = torch.zeros(5)
        expected[data.y[b]] += 1 - area
        expected[data.y[partner[b]]] += area
        assert torch.allclose(mixed.y[b], expected, atol=1e-6)
    assert 0.1 < pasted.float().mean() < 0.5


def test_mixing_twice_keeps_probabilities():
    twice = Mixup(classes=5)(Cutmix(classes=5)(batch(), counter()), counter(epoch=2))
    assert torch.allclose(twice.y.sum(1), torch.ones(40), atol=1e-6)
    assert twice.y.min() >= 0


def test_masks_cannot_be_mixed():
    y = torch.zeros(4, 8, 8, dtype=torch.long)
    with pytest.raises(ConfigError, match="augment=Mixup mixes classes, not answers of shape"):
        Mixup(classes=2)(Masks(torch.rand(4, 1, 8, 8), y, torch.ones(4, 8, 8)), counter(4))


def test_a_classifier_learns_from_probabilities():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 5))
    data = batch()
    hard, soft = data, data._replace(y=F.one_hot(data.y, 5).float())
    for smoothing in (0.0, 0.1):
        rule = Classifier(net=net, classes=5, smoothing=smoothing)
        assert torch.allclose(rule.loss(hard), rule.loss(soft), atol=1e-6)
        mixed = Mixup(classes=5)(data, counter())
        smoothed = mixed.y * (1 - smoothing) + smoothing / 5
        assert torch.allclose(rule.loss(mixed), -(smoothed * rule(mixed.x).log_softmax(1)).sum(1).mean(), atol=1e-6)


def test_the_list_of_randaugment_is_that_of_the_paper():
    assert len(OPERATIONS) == 14
    x = batch(6).x
    for name, operation in OPERATIONS.items():
        for amount in (-1.0, -0.3, 0.3, 1.0):
            changed = operation(x, torch.full((6,), amount))
            assert changed.shape == x.shape, name
            assert 0 <= changed.min() <= changed.max() <= 1, name
            assert name == "identity" or not torch.equal(changed, x), name


@pytest.mark.parametrize("name", ["rotate", "colour", "contrast", "brightness", "sharpness", "shear_across"])
def test_no_amount_no_change(name):
    x = batch(6).x
    assert torch.allclose(OPERATIONS[name](x, torch.zeros(6)), x, atol=1e-5)


def test_operations_against_pillow():
    import numpy as np
    from PIL import Image, ImageOps

    pixels = (torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1)) * 180 + 20).round().byte()
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    x = pixels[None].float() / 255

    def differ(name, amount, expected, tolerance):
        found = (OPERATIONS[name](x, torch.tensor([amount]))[0] * 255).round()
        reference = torch.from_numpy(np.array(expected)).permute(2, 0, 1).float()
        assert (found - reference).abs().max() <= tolerance, name

    differ("posterize", 1.0, ImageOps.posterize(picture, 4), 0)
    differ("solarize", 0.5, ImageOps.solarize(picture, 128), 0)
    differ("autocontrast", 1.0, ImageOps.autocontrast(picture), 1)
    differ("equalize", 1.0, ImageOps.equalize(picture), 8)  # which counts in whole steps


def test_translation_moves_the_content():
    x = torch.zeros(1, 1, 20, 20)
    x[0, 0, 10, 10] = 1
    moved = OPERATIONS["translate_across"](x, torch.tensor([4 / 9]))  # 0.45 * 20 * 4/9 = 4 pixels to the right
    assert moved[0, 0, 10, 14] == pytest.approx(1, abs=1e-4)
    moved = OPERATIONS["translate_along"](x, torch.tensor([-4 / 9]))
    assert moved[0, 0, 6, 10] == pytest.approx(1, abs=1e-4)


def test_randaugment_draws_every_operation_and_none_for_count_zero():
    x = batch(40).x
    assert torch.equal(RandAugment(count=0).change(x, counter()), x)
    chosen = (Counter(0, 0, torch.arange(2000))(1) * 14).long().flatten()
    assert chosen.bincount(minlength=14).min() > 90
    with pytest.raises(ConfigError, match="magnitude=31 is out of range"):
        RandAugment(magnitude=31)


@pytest.mark.parametrize("name", sorted(paths.options("augment")))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_option_works_on_grey_and_colour(name, channels):
    from omegaconf import OmegaConf

    node = OmegaConf.create({"data": {"classes": 5}, "augment": OmegaConf.load(paths.options("augment")[name])})
    step = build(OmegaConf.to_container(node, resolve=True)["augment"])
    data = Images(torch.rand(20, channels, 28, 28), torch.arange(20) % 5)
    one, again, later = (step(data, counter(20, epoch)) for epoch in (0, 0, 1))
    assert one.x.shape == data.x.shape
    assert 0 <= one.x.min() <= one.x.max() <= 1
    assert torch.equal(one.x, again.x)
    assert name == "none" or not torch.equal(one.x, later.x)


def test_classes_that_the_data_lack_are_a_fault_of_the_command(dl):
    code, _, err = dl("train", "model=mlp_regression", "augment=mixup")
    assert code == 2
    assert "data=diabetes has no classes, which this augment needs; data that fits: " in err
    assert "Traceback" not in err


def test_a_classifier_trains_on_mixed_pictures(dl, undrawn):
    code, out, err = dl("train", "model=softmax", "augment=cutmix", "epochs=2", "limit=0.3")
    assert code == 0, err
    assert "accuracy" in out


@pytest.mark.parametrize("family", ["perceptron", "svm", "robust", "cvae", "dbn_joint", "dbn_per_class"])
def test_rules_that_need_one_class_for_each_example_refuse_mixtures(dl, family):
    code, _, err = dl("train", f"model={family}", "data=digits8", "augment=mixup", "epochs=6", "limit=0.2", "batch=16")
    assert code == 2
    assert "mixtures; set augment=none" in err
