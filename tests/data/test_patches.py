"""Squares out of pictures whose pixels say where they lie: row, column and number of the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from dlcli.batch import Pairs
from dlcli.data.augment import Flip
from dlcli.data.crops import Crops, square
from dlcli.data.decode import decode_whole
from dlcli.data.patches import Patches, lattice, strips
from dlcli.data.serving import serve
from dlcli.data.splits import check, resample
from dlcli.data.without import leave_out
from dlcli.errors import ConfigError, DataError

SIZE = 8


def place(height, width, number):
    """Return a picture (H, W, 3) of rows, columns and its number."""
    row, column = np.mgrid[:height, :width]
    return np.stack([row, column, np.full_like(row, number)], 2).astype(np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Write two pictures in each of two folders, one of them deeper and upright; return their parent."""
    for number, (name, shape) in enumerate(
        {"photos/a": (20, 60), "photos/b": (16, 50), "paintings/c": (24, 40), "paintings/old/d": (80, 12)}.items()
    ):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(place(*shape, number)).save(path)
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"")
    (tmp_path / "photos" / "notes.txt").write_text("not a picture")
    return tmp_path


def source(**options):
    return Patches(**({"path": "photos", "other": "paintings", "size": SIZE, "side": 100, "count": 40} | options))


def origins(x):
    """Return row, column and number of each square, which must be whole, (N, C, size, size) -> (N, 3)."""
    first = x[:, :, 0, 0].long()
    whole = torch.from_numpy(place(SIZE, SIZE, 0)).permute(2, 0, 1)
    assert torch.equal(x.long(), first[:, :, None, None] + whole.long())
    return first


def covered(x):
    """Tell which pixels of which pictures lie in some square, (4, 80, 60)."""
    seen = torch.zeros(4, 80, 60, dtype=torch.long)
    for row, column, number in origins(x).unique(dim=0).tolist():
        seen[number, row : row + SIZE, column : column + SIZE] = 1
    return seen


def bytes_of(x):
    return (255 * x).round().to(torch.uint8)


def test_no_pixel_is_in_two_splits_and_squares_are_whole(folders):
    splits = source().load(folders)
    check(splits, None)
    for side, numbers in (("x", (0, 1)), ("other", (2, 3))):
        train = torch.cat([getattr(splits.train.cut(torch.arange(40), 0, epoch), side) for epoch in range(50)])
        assert set(origins(train)[:, 2].tolist()) == set(numbers)
        seen = [covered(x) for x in (train, getattr(splits.valid, side), getattr(splits.test, side))]
        assert all(part.any() for part in seen)
        assert torch.stack(seen).sum(0).max() == 1
    # a: 60 - 2 * 12 columns for training, b: 50 - 2 * 10; the last row and column of both are reached
    corners = {(0, 19, 35), (1, 15, 29)}
    train = torch.cat([splits.train.cut(torch.arange(40), 0, epoch).x for epoch in range(50)])
    assert corners <= {(n, r + SIZE - 1, c + SIZE - 1) for r, c, n in origins(train).tolist()}


def test_the_longer_side_is_cut_in_fifths_but_no_part_is_shorter_than_a_square():
    parts = strips(torch.zeros(3, 100, 20), 8)
    assert [tuple(part.shape[1:]) for part in parts] == [(60, 20), (20, 20), (20, 20)]
    parts = strips(torch.zeros(3, 20, 26), 8)
    assert [part.shape[2] for part in parts] == [10, 8, 8]
    assert lattice(torch.zeros(3, 20, 9), 8).shape == (4, 3, 8, 8)  # rows 0, 4, 8, 12 and column 0


def test_a_square_depends_on_seed_epoch_and_number_alone(folders):
    train = source().load(folders).train
    whole = {}
    for size in (8, 5):
        loader = serve(train, size=size, seed=3)
        for number, batch in enumerate(loader.epoch(2)):
            assert isinstance(batch, Pairs)
            assert batch.x.dtype == torch.float32
            for row, x, other in zip(loader.rows(2, number).tolist(), batch.x, batch.other, strict=True):
                both = torch.cat([x, other])
                assert torch.equal(whole.setdefault(row, both), both)
    assert len(whole) == 40
    late = list(serve(train, size=8, seed=3).epoch(2, start=3))
    assert torch.equal(late[0].x, list(serve(train, size=8, seed=3).epoch(2))[3].x)
    again, later, others = (train.cut(torch.arange(40), seed, epoch).x for seed, epoch in ((3, 2), (3, 3), (4, 2)))
    assert torch.equal(bytes_of(torch.stack([whole[row][:3] for row in range(40)])), again)
    assert not torch.equal(again, later)
    assert not torch.equal(again, others)
    part = serve(train, size=4, seed=3, limit=0.5)
    assert part.examples == 20
    assert {tuple(x.flatten().tolist()) for batch in part.epoch(0) for x in bytes_of(batch.x)} <= {
        tuple(x.flatten().tolist()) for x in train.cut(torch.arange(40), 3, 0).x
    }
    taken = serve(train, size=4, seed=3)
    assert torch.equal(taken.take([5, 7]).other, taken.take([7, 5]).other.flip(0))
    assert resample(train, 0).size == 40


def test_every_place_is_as_likely():
    train = Crops(
        pictures=[torch.from_numpy(place(10, 12, n)).permute(2, 0, 1) for n in range(2)],
        others=[torch.zeros(3, 8, 8, dtype=torch.uint8)],
        side=SIZE,
        index=torch.arange(6000),
    )
    found = origins(train.cut(torch.arange(6000), 0, 0).x)
    counts = torch.zeros(3, 5, 2).index_put_(tuple(found.T), torch.ones(6000), accumulate=True)
    assert (counts - 200).abs().max() < 70  # five standard deviations of 14
    assert square(train.pictures, (1 - 2**-24,) * 3, SIZE)[:, 0, 0].tolist() == [2, 4, 1]


def test_facts_and_sizes(folders):
    splits = source().load(folders)
    facts = splits.facts
    assert (facts["kind"], facts["channels"], facts["height"], facts["width"]) == ("pairs", 3, SIZE, SIZE)
    assert facts["mean"][2] == pytest.approx(0.5 / 255, abs=1e-3)  # pictures 0 and 1
    assert facts["other_mean"][2] == pytest.approx(2.5 / 255, abs=1e-3)
    assert source(channels=1).load(folders).train.x.shape == (40, 1, SIZE, SIZE)
    files = source(path=["photos/a.png"], other=["paintings/c.png", "paintings/old/d.png"]).load(folders)
    assert len(files.train.pictures) == 1
    assert len(files.train.others) == 2
    small = decode_whole(str(folders / "photos/a.png"), 10, 3)
    assert small.shape == (3, 10, 30)
    assert decode_whole(str(folders / "photos/a.png"), 50, 3).shape == (3, 20, 60)  # never made larger


def test_what_cannot_be_used_is_named(folders):
    (folders / "photos" / "broken.jpg").write_bytes(b"broken")
    Image.fromarray(place(8, 23, 9)).save(folders / "photos" / "tiny.png")
    notes = source().load(folders).facts["notes"]
    assert len(notes) == 2
    assert notes[0].startswith("1 left out, cannot be read: broken.jpg (its content is none of")
    assert notes[1] == "1 left out, smaller than 8 x 24 with side=100: tiny.png"


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"other": "nowhere"}, DataError, "no such folder: .*set data.source.other=DIR"),
        ({"path": []}, DataError, "data.source.path: an empty list; name a folder, or a file at least"),
        ({"path": ["photos/z.png"]}, DataError, "no such file: .*set data.source.path=FILE"),
        ({"other": "empty"}, DataError, "data.source.other: .*empty holds no picture; pictures end in .bmp"),
        ({"path": "bad"}, DataError, "data.source.path: no picture can be used: 1 left out, cannot be read: .*one.png"),
        ({"size": 21}, DataError, "data.source.path: no picture can be used: 2 left out, smaller than 21 x 63 with"),
        ({"memory": 0.004}, DataError, "data.source.path: the pictures take more than data.source.memory=0.004"),
        ({"size": 4}, ConfigError, "size=4, side=100, count=40, channels=3: size is at least 8"),
        ({"side": 7}, ConfigError, "at most side"),
        ({"count": 0}, ConfigError, "count at least 1"),
        ({"channels": 2}, ConfigError, "channels 1 or 3"),
    ],
)
def test_bad_input_gives_one_line(folders, options, kind, words):
    (folders / "empty").mkdir()
    (folders / "bad").mkdir()
    (folders / "bad" / "one.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(kind, match=words) as caught:
        source(**options).load(folders)
    assert "\n" not in str(caught.value)


def test_squares_have_no_classes_and_are_not_augmented(folders):
    splits = source().load(folders)
    with pytest.raises(ConfigError, match="do not name one class"):
        leave_out(splits, ["0"])
    with pytest.raises(ConfigError, match="augment=Flip got rows of shape"):
        serve(splits.train, size=4, augment=Flip())


def test_photographs_and_paintings(real_data):
    from omegaconf import OmegaConf

    from dlcli.config import paths

    own, stated = (OmegaConf.load(paths.options("data")[name]).source for name in ("domains", "paintings"))
    options = {"size": own.size, "side": own.side, "path": list(stated.path), "other": list(stated.other), "count": 10}
    splits = Patches(**options).load(real_data)
    check(splits, None)
    assert (len(splits.train.pictures), len(splits.train.others)) == (3, 5)
    assert splits.train.x.shape == (10, 3, 64, 64)
    assert splits.facts["notes"] == []
    assert splits.valid.size == splits.test.size == 27


def test_a_cyclegan_learns_from_two_folders(dl, folders):
    small = ("model.there.width=2", "model.there.blocks=1", "model.critic_there.width=2", "epochs=2", "batch=4")
    where = (f"data.source.path={folders / 'photos'}", f"data.source.other={folders / 'paintings'}")
    words = ("data=domains", *where, "data.source.size=8", "data.source.count=8")
    code, _, err = dl("train", "model=cyclegan", *words, *small)
    assert code == 0, err
    assert dl("eval", "points=0", "see=[]")[0] == 0
    Image.fromarray(place(30, 60, 7)).save(folders / "photos" / "new.png")
    code, _, err = dl("eval", "points=0", "see=[]")
    assert code == 3
    assert "the data has sha256=" in err
