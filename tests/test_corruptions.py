"""Corruptions: what is lost and what stays, that the shape holds, and what they refuse."""

import pytest
import torch
import torch.nn.functional as F

from dlcli.corruptions import Blocks, Clean, Coarse, Gaussian, Grey, Lines, Masking, SaltAndPepper
from dlcli.errors import ConfigError

ALL = [Clean(), Gaussian(), Masking(), SaltAndPepper(), Blocks(), Lines(), Grey(), Coarse()]
NOTHING = [Gaussian(std=0.0), Masking(share=0.0), SaltAndPepper(share=0.0)]


@pytest.mark.parametrize("corruption", [*ALL, *NOTHING], ids=repr)
def test_pictures_keep_shape_range_and_themselves(corruption):
    x = torch.rand(5, 3, 24, 28)
    before = x.clone()
    spoiled = corruption(x)
    assert spoiled.shape == x.shape
    assert spoiled.min() >= 0
    assert spoiled.max() <= 1
    assert torch.equal(x, before)
    assert torch.equal(spoiled, x) != corruption.changes


def test_the_lecture_s_noise_is_added_and_clipped():
    x = torch.rand(50, 1, 28, 28)
    torch.manual_seed(1)
    found = Gaussian(std=0.4)(x)
    torch.manual_seed(1)
    torch.testing.assert_close(found, torch.clip(x + 0.4 * torch.randn(x.shape), 0.0, 1.0))
    free = Gaussian(std=0.4, clip=False)(x) - x
    assert free.std().item() == pytest.approx(0.4, rel=0.02)


def test_masking_and_salt_and_pepper_touch_the_share_that_is_said():
    x = torch.rand(100, 40) * 0.8 + 0.1  # neither black nor white
    masked, peppered = Masking(share=0.3)(x), SaltAndPepper(share=0.3)(x)
    assert (masked == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(masked[masked != 0], x[masked != 0])
    assert (peppered == 0).float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert (peppered == 1).float().mean().item() == pytest.approx(0.15, abs=0.02)
    same = (peppered > 0) & (peppered < 1)
    assert torch.equal(peppered[same], x[same])


def test_numbers_that_are_no_pixels_are_corrupted_on_their_own_scale():
    x = 9 * torch.rand(50, 40) - 2
    torch.manual_seed(1)
    found = Gaussian(std=0.4).unbounded()(x)
    torch.manual_seed(1)
    torch.testing.assert_close(found, x + 0.4 * torch.randn_like(x))
    spoiled = SaltAndPepper(share=0.5).unbounded()(x)
    assert set(spoiled[spoiled != x].tolist()) == {x.min().item(), x.max().item()}
    assert Masking().unbounded() == Masking()


def test_a_block_is_a_square_filled_with_the_mean_of_the_rest():
    x = torch.rand(6, 3, 20, 30)
    spoiled = Blocks(count=1, size=7)(x)
    for before, after in zip(x, spoiled, strict=True):
        lost = (before != after).any(0)
        rows, columns = lost.any(1).nonzero().flatten(), lost.any(0).nonzero().flatten()
        assert (len(rows), len(columns), int(lost.sum())) == (7, 7, 49)
        for channel in range(3):
            hole = after[channel][lost]
            torch.testing.assert_close(hole, before[channel][~lost].mean().expand(49))


def test_lines_go_from_edge_to_edge():
    torch.manual_seed(3)
    x = torch.rand(4, 1, 20, 30)
    lost = (Lines(count=2, size=3)(x) != x)[:, 0]
    assert (lost.all(2).sum(1) == 3).all()  # three whole rows
    assert (lost.all(1).sum(1) == 3).all()  # three whole columns
    assert (lost.sum((1, 2)) == 3 * 30 + 3 * 20 - 9).all()


def test_grey_keeps_the_brightness_and_nothing_else():
    x = torch.rand(4, 3, 5, 5)
    grey = Grey()(x)
    torch.testing.assert_close(grey[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])
    assert torch.equal(grey[:, 0], grey[:, 1])
    torch.testing.assert_close(Grey()(grey), grey)


@pytest.mark.parametrize("factor", [2, 4])
def test_coarse_is_the_bicubic_enlargement_of_block_means(factor):
    x = torch.rand(2, 1, 16, 16)
    small = x.unfold(2, factor, factor).unfold(3, factor, factor).mean((-1, -2))
    large = F.interpolate(small, scale_factor=factor, mode="bicubic").clamp(0, 1)
    torch.testing.assert_close(Coarse(factor=factor)(x), large)
    flat = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(Coarse(factor=factor)(flat), flat)


def test_what_does_not_fit_is_said_in_one_line():
    table, grey = torch.rand(4, 6), torch.rand(4, 1, 8, 8)
    for corruption in (Blocks(), Lines(), Grey(), Coarse()):
        with pytest.raises(ConfigError, match="needs pictures"):
            corruption(table)
    with pytest.raises(ConfigError, match=r"1 channel.*nothing to learn"):
        Grey()(grey)
    with pytest.raises(ConfigError, match="leave nothing of 8x8"):
        Blocks(size=8)(grey)
    with pytest.raises(ConfigError, match="take fewer"):
        Lines(count=4, size=2)(grey)
    with pytest.raises(ConfigError, match="factor=3 does not divide pictures of 8x8"):
        Coarse(factor=3)(grey)
    with pytest.raises(ConfigError, match="give 2 or more"):
        Coarse(factor=1)


def test_colourization_of_grey_data_is_refused_before_anything_is_written(dl, tmp_path):
    code, _, err = dl("train", "model=denoising_autoencoder", "corruption=grey")
    assert code == 2
    assert "data=photographs" in err
    assert not (tmp_path / "outputs").exists()


def test_a_typing_mistake_gets_the_nearest_corruption_and_key(dl):
    code, _, err = dl("train", "model=autoencoder", "corruption=maskin")
    assert (code, "did you mean masking?" in err) == (2, True)
    code, _, err = dl("train", "model=autoencoder", "corruption=gaussian", "model.corruption.sdt=1")
    assert (code, "did you mean model.corruption.std" in err) == (2, True)
    code, _, err = dl("train", "model=autoencoder", "corruption=gaussian", "model.corruption.std=-1")
    assert (code, "must be a number >= 0" in err) == (2, True)
    code, _, err = dl("train", "model=mlp", "corruption=gaussian")
    assert (code, "corruption: this model has no corruption to choose; models that have: autoencoder" in err) == (
        2,
        True,
    )
