"""`dl sample sampler=picture`: a picture of one's own, restored or translated."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dlcli.corruptions import Coarse, Grey
from dlcli.errors import ConfigError, DataError
from dlcli.models.cyclegan import CycleGAN
from dlcli.models.restorer import Restorer
from dlcli.samplers import Picture, Prior, as_text
from dlcli.verbs.sample import picture


@pytest.fixture
def photo():
    """Write a picture of 30 x 21 pixels whose numbers say where they stand; return its pixels, (3, 21, 30)."""
    pixels = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def drawn():
    """Return the samples that were written last, (N, C, H, W)."""
    path = max(Path("outputs").glob("*/*/samples/*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
    assert path.with_suffix(".png").is_file()
    assert len(list(path.with_suffix("").glob("*.png"))) == 2  # each by itself as well
    return load_file(path)["samples"]


@pytest.mark.parametrize(("corruption", "factor", "spoiled"), [("blocks", 1, (21, 30)), ("coarse", 2, (20, 30))])
def test_a_picture_of_any_size_is_restored(dl, photo, corruption, factor, spoiled):
    words = (
        "train",
        "model=restoration",
        f"corruption={corruption}",
        "epochs=1",
        "limit=0.05",
        "model.net.net.width=4",
    )
    assert dl(*words)[0] == 0
    assert dl("sample", "sampler=picture", "sampler.file=photo.png")[0] == 0
    given, restored = drawn()
    assert given.shape == restored.shape == (3, 21 * factor, 30 * factor)
    if factor == 1:
        torch.testing.assert_close(given, photo)
    assert dl("sample", "sampler=picture", "sampler.file=photo.png", "sampler.spoil=true")[0] == 0
    given, _ = drawn()
    assert given.shape == (3, *spoiled)
    assert not given.equal(photo[:, : spoiled[0], : spoiled[1]])


def test_what_is_restored_is_what_the_net_makes_of_it(dl):
    x = torch.rand(1, 3, 6, 6)
    model = Restorer(net=torch.nn.Conv2d(3, 3, 1), corruption=Grey())
    given, restored = model.sample(1, Picture(file="", pixels=x))
    assert given.equal(x[0])
    assert restored.equal(model.net(x)[0].clamp(0, 1))
    given, _ = model.sample(1, Picture(file="", pixels=x, spoil=True))
    assert given.equal(Grey()(x)[0])


def test_a_small_picture_is_enlarged_as_the_corruption_does():
    x = torch.rand(2, 1, 8, 8)
    assert Coarse(factor=2).formed(torch.nn.functional.avg_pool2d(x, 2)).equal(Coarse(factor=2)(x))
    sharp = (torch.arange(64) % 3 == 0).float().view(1, 1, 8, 8)  # cubic curves go beyond black and white
    assert torch.nn.functional.interpolate(sharp, scale_factor=2, mode="bicubic").max() > 1
    enlarged = Coarse(factor=2).formed(sharp)
    assert (enlarged.min(), enlarged.max()) == (0, 1)


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_what_a_corruption_cannot_divide_is_cut_off(factor):
    x = torch.rand(1, 3, 23, 29)
    cut = Coarse(factor=factor).fitting(x)
    assert cut.equal(x[..., : 23 // factor * factor, : 29 // factor * factor])
    assert Coarse(factor=factor)(cut).shape == cut.shape
    assert Grey().fitting(x) is x
    with pytest.raises(ConfigError, match="leaves nothing of 1x29 pixels"):
        Coarse(factor=factor).fitting(x[:, :, :1])


def test_a_large_picture_is_made_smaller_and_a_long_one_refused(tmp_path, capsys):
    path = tmp_path / "large.png"
    Image.new("L", (3000, 1200)).save(path)
    assert picture(path, 1).shape == (1, 1, 1024, 2560)
    assert "from 1,200 to 1,024 pixels" in capsys.readouterr().out
    Image.new("L", (4096, 5)).save(path)
    assert picture(path, 3).shape == (1, 3, 5, 4096)
    assert not capsys.readouterr().out
    Image.new("L", (4097, 5)).save(path)
    with pytest.raises(DataError, match="4,097 by 5 pixels are too long"):
        picture(path, 3)


class Brighter(torch.nn.Module):
    """Add a number, and put out pictures of another size."""

    def __init__(self, shift):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        return torch.nn.functional.pad(x + self.shift, (0, 2, 0, -1))


def test_a_picture_that_would_become_too_large_is_refused(monkeypatch):
    model = Restorer(net=torch.nn.Conv2d(3, 3, 1), corruption=Coarse(factor=4))
    monkeypatch.setattr("dlcli.models.rebuilding.LARGEST", 16 * 6 * 8)
    assert model.sample(1, Picture(file="", spoil=False, pixels=torch.rand(1, 3, 6, 8))).shape == (2, 3, 24, 32)
    with pytest.raises(ConfigError, match=r"24 by 36 pixels, and at most 768 are made in one piece"):
        model.sample(1, Picture(file="", spoil=False, pixels=torch.rand(1, 3, 6, 9)))


def test_what_is_translated_goes_there_and_not_back():
    nets = {
        "there": Brighter(0.25),
        "back": Brighter(-0.5),
        "critic_there": Brighter(0.0),
        "critic_back": Brighter(0.0),
    }
    model = CycleGAN(**nets, objective=None, shape=[1, 4, 4], weights={"cycle": 1.0, "identity": 0.0})
    x = torch.rand(1, 1, 4, 4) / 2
    with torch.no_grad():
        given, made = model.sample(1, Picture(file="", pixels=x))
    assert given.equal(x[0, :, :3])
    assert made.equal(x[0, :, :3] + 0.25)


def test_a_picture_is_translated_to_the_other_domain(dl, photo):
    words = ("train", "model=cyclegan", "epochs=1", "limit=0.05", "limit_valid=0.1", "model.there.blocks=1")
    assert dl(*words, "model.there.width=4")[0] == 0
    assert dl("sample", "sampler=picture", "sampler.file=photo.png")[0] == 0
    given, made = drawn()
    assert given.shape == made.shape
    assert given.shape[0] == 1  # in grey, as the digits are


def test_mistakes_are_one_line_each(dl, photo):
    assert dl("train", "model=restoration", "epochs=1", "limit=0.05", "model.net.net.width=4")[0] == 0
    code, _, err = dl("sample")
    assert (code, "sampler=picture sampler.file=PHOTO.png" in err) == (2, True)
    assert dl("sample", "sampler=picture", "sampler.file=none.png")[0] == 3
    Path("text.png").write_text("no picture", encoding="utf-8")
    code, _, err = dl("sample", "sampler=picture", "sampler.file=text.png")
    assert (code, "cannot be read as a picture" in err) == (3, True)
    assert dl("sample", "sampler=picture")[0] == 2
    code, _, err = dl("sample", "sampler=picture", "sampler.file=photo.png", "n=3")
    assert (code, "leave n out" in err) == (2, True)


def test_other_models_want_no_picture(dl, photo):
    assert dl("train", "model=autoencoder", "epochs=1", "limit=0.1")[0] == 0
    code, _, err = dl("sample", "sampler=picture", "sampler.file=photo.png")
    assert (code, "models that restore" in err) == (2, True)
    with pytest.raises(ConfigError, match="take sampler=text"):
        as_text(Picture(file="photo.png"))
    assert as_text(Prior(temperature=0.5)).temperature == 0.5
