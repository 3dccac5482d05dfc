"""Segmented pictures: weights against a second route, folders that do not fit, discs that a net can find."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dlcli.batch import Masks
from dlcli.data.border import gap, shares_of, weights
from dlcli.data.loader import Resident
from dlcli.data.masks import ISBI, Discs, MaskFolder, _tiled
from dlcli.data.splits import Splits, check
from dlcli.errors import ConfigError, DataError

REAL = Path(os.environ.get("DL_DATA", "/nowhere")).expanduser()
real = pytest.mark.skipif(not (REAL / "isbi-2012").is_dir(), reason="needs DL_DATA with the official files")


def test_the_gap_by_the_formula():
    cells = np.zeros((9, 20), bool)
    cells[:, 2:5] = cells[:, 8:12] = True  # columns 5 to 7 lie between
    found = gap(cells, sigma=2.0)
    assert (found[cells] == 0).all()
    assert np.allclose(found[:, 5:8], np.exp(-((1 + 3) ** 2) / 8))  # distances 1 + 3, 2 + 2, 3 + 1
    assert np.allclose(found[:, 0], np.exp(-((2 + 8) ** 2) / 8), atol=1e-5)


def test_the_gap_equals_distances_to_every_cell():
    from scipy import ndimage

    cells = Discs(samples=1).load(Path()).train.y[0].numpy() > 0
    numbers, count = ndimage.label(cells)
    assert count > 2
    away = np.sort([ndimage.distance_transform_edt(numbers != n) for n in range(1, count + 1)], axis=0)
    expected = np.where(cells, 0, np.exp(-((away[0] + away[1]) ** 2) / (2 * 3.0**2)))
    assert np.abs(gap(cells, 3.0) - expected).max() < 4e-4
    lone = np.zeros((5, 5), bool)
    lone[2, 2] = True
    assert (gap(lone, 3.0) == 0).all()  # there is no second cell
    assert (gap(~lone & lone, 3.0) == 0).all()


def test_classes_count_the_same_in_sum():
    y = torch.tensor([[[0, 0, 0, 1], [0, 0, 2, 2]]], dtype=torch.uint8)
    shares = shares_of(y, 3)
    assert shares.tolist() == [5 / 8, 1 / 8, 2 / 8]
    w = weights(y, shares, w0=0.0, sigma=1.0)
    assert w.mean() == pytest.approx(1)
    for c in range(3):
        assert w[y == c].sum() == pytest.approx(8 / 3)
    more = weights(y, shares, w0=10.0, sigma=5.0)
    assert (more >= w).all()


def test_discs_are_cells_apart_and_brighter():
    splits = Discs().load(Path())
    check(splits, 2)
    train = splits.train
    assert train.x.shape == (100, 1, 48, 48)
    assert train.y.dtype == torch.uint8
    inside, outside = (train.x[:, 0][train.y == c].float().mean() for c in (1, 0))
    assert inside - outside > 60
    assert (splits.valid.w == 1).all()  # only what is trained on counts differently
    assert train.w[train.y == 0].max() > 5
    assert torch.equal(Discs().load(Path()).test.x, splits.test.x)
    assert not torch.equal(Discs(split_seed=1).load(Path()).test.x, splits.test.x)
    batch = next(Resident(train, size=7, seed=1).epoch(0))
    assert batch.x.dtype == torch.float32
    assert batch.y.dtype == torch.int64
    assert batch.x.max() <= 1
    assert Resident(train, size=7).take([3]).y.dtype == torch.int64


def test_a_net_finds_discs():
    splits = Discs(samples=60, side=32).load(Path())
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 2, 5, padding=2))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    loader = Resident(splits.train, size=20)
    for epoch in range(15):
        for batch in loader.epoch(epoch):
            optimizer.zero_grad()
            loss = (F.cross_entropy(net(batch.x), batch.y, reduction="none") * batch.w).sum() / batch.w.sum()
            loss.backward()
            optimizer.step()
    test = Resident(splits.test, size=60, shuffle=False).take(torch.arange(60))
    assert (net(test.x).argmax(1) == test.y).float().mean() > 0.85


@pytest.mark.parametrize(
    "option", [{"samples": 0}, {"side": 4}, {"discs": 0}, {"noise": -1.0}, {"gap": -1.0}, {"sigma": 0.0}]
)
def test_options_of_discs(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        Discs(**option).load(Path())


def folder(root, count=10, size=(20, 26), values=(0, 7, 255)):
    """Write pictures whose brightness is that of their masks."""
    random = np.random.default_rng(0)
    for kind in ("pictures", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(count):
        mask = np.asarray(values, np.uint8)[random.integers(0, len(values), (5, 5)).repeat(6, 0).repeat(6, 1)]
        mask = mask[: size[0], : size[1]]
        Image.fromarray(np.stack([mask] * 3, 2)).save(root / "pictures" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    return root


def load(root, **options):
    return MaskFolder(**({"path": str(root), "height": 20, "width": 26} | options)).load(Path("nowhere"))


def test_pictures_and_masks_of_your_own(tmp_path):
    splits = load(folder(tmp_path / "own"))
    check(splits, 3)
    assert [part.size for part in splits[:3]] == [6, 2, 2]
    assert splits.facts["names"] == ["0", "7", "255"]
    assert "mask values 0, 7, 255 became classes 0 to 2" in splits.facts["notes"]
    levels = torch.tensor([0, 7, 255])
    assert torch.equal(levels[splits.train.y.long()], splits.train.x[:, 0].long())
    small = load(tmp_path / "own", height=10, width=10, channels=1)
    assert small.train.x.shape == (6, 1, 10, 10)
    assert set(small.train.y.unique().tolist()) <= {0, 1, 2}


def test_palette_masks_hold_classes(tmp_path):
    root = folder(tmp_path / "own", values=(0, 1))
    for path in (root / "masks").iterdir():
        picture = Image.open(path).convert("L")
        indexed = Image.fromarray(np.array(picture))
        indexed.putpalette([9, 9, 9, 200, 0, 0])
        indexed.save(path)
    assert load(root).facts["classes"] == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "masks" / "3.png").unlink(), r"picture '3' has no mask \(1 without a partner\)"),
        (lambda root: (root / "pictures" / "4.png").unlink(), "mask '4' has no picture"),
        (lambda root: (root / "masks" / "2.png").write_bytes(b"x"), r"masks/2.png cannot be read: its content"),
        (
            lambda root: Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "masks" / "5.png"),
            r"pictures/5.png has 20 x 26 pixels, its mask 9 x 9",
        ),
        (
            lambda root: Image.fromarray(np.zeros((20, 26, 3), np.uint8)).save(root / "masks" / "5.png"),
            r"a mask in RGB: store one value for each pixel",
        ),
        (
            lambda root: Image.fromarray(np.arange(520, dtype=np.uint16).reshape(20, 26).astype(np.uint8)).save(
                root / "masks" / "5.png"
            ),
            r"256 distinct values: from 2 to 64 are classes",
        ),
    ],
)
def test_folders_that_do_not_fit(tmp_path, spoil, words):
    root = folder(tmp_path / "own")
    spoil(root)
    with pytest.raises(DataError, match=words):
        load(root)


def test_masks_without_folder_or_classes(tmp_path):
    (tmp_path / "own" / "pictures").mkdir(parents=True)
    with pytest.raises(DataError, match="has 0 pictures of 0 names: three at least"):
        load(tmp_path / "own")
    with pytest.raises(DataError, match="1 distinct values"):
        load(folder(tmp_path / "flat", values=(0,)))


def test_masks_of_another_size_are_refused_before_training():
    good = Masks(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4).long(), torch.ones(2, 4, 4))
    bad = good._replace(y=torch.zeros(2, 4, 5).long())
    with pytest.raises(DataError, match=r"the valid split has pictures, masks and weights of 4 x 4, 4 x 5, 4 x 4"):
        check(Splits(good, bad, good, {}), 2)
    strange = good._replace(y=torch.full((2, 4, 4), 3))
    with pytest.raises(DataError, match="32 of 32 labels outside the rule, first 3"):
        check(Splits(good, strange, good, {}), 2)


def test_tiles_are_squares_of_the_section():
    whole = torch.arange(2 * 1 * 8 * 8).view(2, 1, 8, 8)
    tiles = _tiled(whole, 4)
    assert tiles.shape == (8, 1, 4, 4)
    assert torch.equal(tiles[1], whole[0, :, :4, 4:])
    assert torch.equal(tiles[6], whole[1, :, 4:, :4])
    assert torch.equal(_tiled(whole[:, 0], 4), tiles[:, 0])


@real
def test_official_isbi():
    splits = ISBI(gap=0.0).load(REAL)
    check(splits, 2)
    assert [part.size for part in splits[:3]] == [320, 80, 80]
    assert 0.2 < (splits.train.y == 0).float().mean() < 0.25
    dark, bright = (splits.train.x[:, 0][splits.train.y == c].float().mean() for c in (0, 1))
    assert dark < bright
    whole = ISBI(gap=0.0, tile=None).load(REAL)
    assert whole.test.x.shape == (5, 1, 512, 512)
    assert torch.equal(whole.test.x[0, :, :128, 128:256], splits.test.x[1])


def test_isbi_that_is_missing_or_another(tmp_path):
    with pytest.raises(DataError, match=r"60 of 60 files missing.*data=discs needs no files"):
        ISBI().load(tmp_path)
    for kind in ("image", "label"):
        (tmp_path / "isbi-2012" / "train" / kind).mkdir(parents=True)
        for i in range(30):
            (tmp_path / "isbi-2012" / "train" / kind / f"{i}.png").write_bytes(b"x")
    with pytest.raises(DataError, match="a file is damaged or another"):
        ISBI().load(tmp_path)
    with pytest.raises(ConfigError, match="tile=100: it must divide 512"):
        ISBI(tile=100).load(tmp_path)
    for valid in (20, 0, 0.2):
        with pytest.raises(ConfigError, match="together below 30"):
            ISBI(valid=valid, test=10).load(tmp_path)
