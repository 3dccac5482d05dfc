"""The user's own pictures: odd files by the rules, splits, and streaming that equals memory bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlcli.data import decode as decoding
from dlcli.data.album import Album
from dlcli.data.augment import Crop
from dlcli.data.decode import Unreadable, Wanted, decode, oddities
from dlcli.data.folder import Folder
from dlcli.data.loader import Resident, Stream
from dlcli.data.serving import serve
from dlcli.data.splits import check
from dlcli.data.workers import Workers
from dlcli.errors import ConfigError, DataError


def pixels(height=12, width=16, channels=3, top=256, kind=np.uint8):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, top, shape).astype(kind)


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return str(path)


def read(path, height=12, width=16, channels=3):
    return decode(Wanted(str(path), height, width, channels)).transpose(1, 2, 0)


def test_plain_pictures_are_read_exactly(tmp_path):
    for name in ("a.png", "a.bmp", "a.ppm", "a.tif"):
        assert np.array_equal(read(save(pixels(), tmp_path / name)), pixels())
    assert np.array_equal(read(save(pixels(channels=1), tmp_path / "g.png"), channels=1)[:, :, 0], pixels(channels=1))


def test_grey_and_colour_become_what_is_asked(tmp_path):
    grey = read(save(pixels(channels=1), tmp_path / "g.png"))
    assert all(np.array_equal(grey[:, :, c], pixels(channels=1)) for c in range(3))
    luma = read(save(pixels(), tmp_path / "c.png"), channels=1)[:, :, 0]
    assert np.abs(luma - pixels() @ [0.299, 0.587, 0.114]).max() <= 1


def test_sixteen_bits_and_floats(tmp_path):
    deep = pixels(channels=1, top=65536, kind=np.uint16)
    path = save(deep, tmp_path / "deep.png")
    assert np.array_equal(read(path, channels=1)[:, :, 0], np.round(deep / 257))
    assert oddities(path) == ["stored as I;16"]
    share = (pixels(channels=1) / 255).astype(np.float32)
    assert np.array_equal(read(save(share, tmp_path / "f.tif"), channels=1)[:, :, 0], pixels(channels=1))
    with pytest.raises(Unreadable, match=r"pixels from .* store 8 or 16 bits"):
        read(save(share * 900, tmp_path / "h.tif"))
    with pytest.raises(Unreadable, match="pixels from"):
        read(save(np.full((4, 4), np.nan, np.float32), tmp_path / "n.tif"))


def test_palette_transparency_and_inks(tmp_path):
    picture = Image.fromarray(pixels(top=4) * 60)
    picture.quantize(64).save(tmp_path / "p.gif")
    assert np.abs(read(tmp_path / "p.gif").astype(int) - pixels(top=4) * 60).mean() < 6
    alpha = np.concatenate([pixels(), np.zeros((12, 16, 1), np.uint8)], 2)
    alpha[:6, :, 3] = 255
    path = save(alpha, tmp_path / "a.png")
    assert np.array_equal(read(path)[:6], pixels()[:6])
    assert (read(path)[6:] == 255).all()  # laid on white
    assert oddities(path) == ["transparent, laid on white"]
    Image.new("CMYK", (16, 12), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    assert read(tmp_path / "c.tif")[0, 0].tolist() == [255, 0, 0]
    assert oddities(str(tmp_path / "c.tif")) == ["stored as CMYK"]


def test_exif_says_where_up_is(tmp_path):
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = 6  # to be turned by a quarter, clockwise
    path = save(pixels(12, 16), tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read(path, 16, 12), np.rot90(pixels(12, 16), -1))
    assert oddities(path) == ["turned upright as EXIF says"]


def test_the_first_of_several_frames(tmp_path):
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0] or read(tmp_path / "a.gif")[0, 0, 0] > 250
    assert "of several frames, the first taken" in oddities(str(tmp_path / "a.gif"))


def test_the_middle_of_the_scaled_picture(tmp_path):
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 200  # the middle square is bright
    assert (read(save(wide, tmp_path / "wide.png"), 10, 10) == 200).all()
    assert (read(tmp_path / "wide.png", 5, 5)[:, 1:4] == 200).all()
    assert read(tmp_path / "wide.png", 33, 20).shape == (33, 20, 3)
    flat = np.full((300, 500, 3), 90, np.uint8)
    assert np.abs(read(save(flat, tmp_path / "big.jpg"), 20, 20).astype(int) - 90).max() <= 1  # a JPEG drafted small


def broken(tmp_path):
    """Write files that cannot be read, and return them with what is said of them."""
    whole = Path(save(pixels(60, 60), tmp_path / "whole.jpg")).read_bytes()
    contents = {
        "text.jpg": (b"no picture", "its content is none of JPEG"),
        "empty.png": (b"", "its content is none of JPEG"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "its content is none of"),
    }
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    return {str(tmp_path / name): words for name, (_, words) in contents.items()}


def test_broken_files_say_why(tmp_path):
    for path, words in broken(tmp_path).items():
        with pytest.raises(Unreadable, match=words):
            read(path)
    with pytest.raises(Unreadable, match="No such file"):
        read(tmp_path / "absent.png")


def test_huge_pictures_are_refused_by_their_header(tmp_path, monkeypatch):
    path = save(pixels(40, 40), tmp_path / "huge.png")
    for limit in (1000, 500):  # Pillow warns from its limit on, and refuses from twice that
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(Unreadable, match=rf"more than {limit:,} pixels: make it smaller"):
            read(path)


def classes(root, count=12, names=("cat", "dog"), sizes=(20, 24)):
    """Write a folder of pictures; a class is dark, another bright."""
    for number, name in enumerate(names):
        for i in range(count):
            array = pixels(sizes[i % 2], sizes[0], top=90) + np.uint8(120 * number)
            save(array, root / name / f"{i:02}.{('png', 'jpg')[i % 2]}")
    return root


def load(root, **options):
    return Folder(**({"path": str(root), "height": 16, "width": 16, "workers": 0} | options)).load(Path("nowhere"))


def test_a_folder_for_each_class(tmp_path):
    splits = load(classes(tmp_path / "own", 10))
    check(splits, 2)
    assert [part.size for part in splits[:3]] == [12, 4, 4]
    assert splits.facts["names"] == ["cat", "dog"]
    assert splits.facts["notes"] == []
    assert splits.train.x.shape == (12, 3, 16, 16)
    for part in splits[:3]:
        assert torch.equal(part.x.float().mean((1, 2, 3)) > 100, part.y == 1)
        assert part.y.bincount().tolist() == [part.size // 2] * 2


def test_splits_as_they_are(tmp_path):
    for part, count in (("train", 6), ("val", 2), ("test", 3)):
        classes(tmp_path / "own" / part, count)
    assert [part.size for part in load(tmp_path / "own")[:3]] == [12, 4, 6]
    classes(tmp_path / "own" / "test", 1, names=("cow",))
    with pytest.raises(DataError, match="cow: training has no such class"):
        load(tmp_path / "own")
    classes(tmp_path / "half" / "train", 10)
    classes(tmp_path / "half" / "test", 3)
    assert [part.size for part in load(tmp_path / "half")[:3]] == [16, 4, 6]


def test_odd_files_are_named(tmp_path):
    root = classes(tmp_path / "own")
    broken(root / "cat")
    (root / "cat" / "whole.jpg").rename(root / "dog" / "deep whole.jpg")
    (root / "dog" / "notes.txt").write_text("x")
    (root / "dog" / ".DS_Store").write_text("x")
    save(pixels(channels=1, top=65536, kind=np.uint16), root / "dog" / "inner" / "deep.png")
    (root / "cat" / "bad\x1b[31m.gif").write_bytes(b"GIF")
    notes = "\n".join(load(root).facts["notes"])
    assert "1 left out, no pictures by their names: dog/notes.txt" in notes
    assert "5 left out, cannot be read: " in notes
    assert "cat/text.jpg (its content is none of" in notes
    assert "truncated" in notes
    assert "1 stored as I;16: dog/inner/deep.png" in notes
    assert "\x1b" not in notes
    assert "DS_Store" not in notes
    splits = load(root)
    assert sum(part.size for part in splits[:3]) == 26


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "two at least, and has none"),
        (lambda root: classes(root, names=("cat",)), "two at least, and has only cat"),
        (lambda root: (classes(root) / "empty").mkdir(), "empty has no picture that can be used; pictures end in"),
        (lambda root: save(pixels(), root / "1.png"), "two at least, and has none"),
    ],
)
def test_folders_that_cannot_be_learned_from(tmp_path, build, words):
    build(tmp_path / "own")
    with pytest.raises(DataError, match=words):
        load(tmp_path / "own")


def test_a_class_of_broken_files_says_so(tmp_path):
    root = classes(tmp_path / "own")
    (root / "bad").mkdir()
    broken(root / "bad")
    (root / "bad" / "whole.jpg").unlink()
    broken(root / "dog")  # those of another class do not matter here
    with pytest.raises(DataError, match=r"bad has no picture that can be used: 4 left out, cannot be read"):
        load(root)


def test_options_out_of_range(tmp_path):
    for option in ({"channels": 2}, {"height": 0}, {"workers": -1}):
        with pytest.raises(ConfigError, match="channels are 1 or 3"):
            load(tmp_path, **option)


def batches(loader, epochs=2, start=0):
    return [(batch.x.clone(), batch.y.clone()) for epoch in range(epochs) for batch in loader.epoch(epoch, start)]


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(one, other, strict=True)
    )


def test_streams_equal_memory_bit_for_bit_whatever_the_workers(tmp_path):
    root = classes(tmp_path / "own")
    memory = load(root)
    options = {"size": 4, "seed": 3, "augment": Crop(padding=2), "limit": 0.9}
    expected = batches(Resident(memory.train, **options))
    for workers in (0, 1, 2):
        splits = load(root, memory=0.001, workers=workers)
        check(splits, 2)
        assert isinstance(splits.train, Album)
        assert splits.facts == memory.facts  # the sample holds all of so few
        loader = serve(splits.train, **options)
        assert isinstance(loader, Stream)
        assert same(batches(loader), expected)
        assert same(batches(loader, start=2), batches(Resident(memory.train, **options), start=2))
        ordered = {"size": 3, "shuffle": False}
        assert same(batches(serve(splits.valid, **ordered)), batches(Resident(memory.valid, **ordered)))
        taken, kept = (serve(split, size=2).take([3, 0, 3]) for split in (splits.test, memory.test))
        assert torch.equal(taken.x, kept.x)
        assert torch.equal(taken.y, kept.y)


def test_an_epoch_that_is_left_leaves_nothing_behind(tmp_path):
    splits = load(classes(tmp_path / "own"), memory=0.001, workers=2)
    loader = serve(splits.train, size=2, seed=0)
    whole = batches(loader, epochs=1)
    for _ in range(3):
        epoch = loader.epoch(0)
        next(epoch)
        epoch.close()
    assert same(batches(loader, epochs=1), whole)


def test_a_picture_that_breaks_later_is_named(tmp_path):
    splits = load(classes(tmp_path / "own"), memory=0.001)
    Path(splits.train.paths[3]).write_bytes(b"gone")
    with pytest.raises(DataError, match=r"cannot be read: its content is none of .* delete it, or replace it"):
        batches(serve(splits.train, size=4))


def test_unverified_sets_are_listed_by_their_headers(tmp_path):
    root = classes(tmp_path / "own")
    for path in list(broken(root / "cat"))[:2]:
        Path(path).rename(f"{path}.png")
    splits = load(root, memory=0.001, verify=True)
    (root / "cat" / "cut.jpg").unlink()
    unverified = load(root, memory=0.001, verify=False)
    assert unverified.train.paths == splits.train.paths
    assert "3 left out, cannot be read" in "\n".join(unverified.facts["notes"])


def test_the_identity_of_a_stream_changes_with_its_files(tmp_path):
    from dlcli.verbs.common import fingerprint

    root = classes(tmp_path / "own")
    before = fingerprint(load(root, memory=0.001))
    assert before == fingerprint(load(root, memory=0.001))
    save(pixels(50, 50), root / "cat" / "00.png")
    assert fingerprint(load(root, memory=0.001)) != before


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc/self").exists() else True


def test_a_worker_that_dies_is_replaced(tmp_path):
    wanted = [Wanted(save(pixels(), tmp_path / f"{i}.png"), 12, 16, 3) for i in range(6)]
    pool = Workers(1)
    first = list(pool.read(wanted))
    worker = pool.idle.get()
    os.kill(worker.popen.pid, signal.SIGKILL)
    worker.popen.wait()
    pool.idle.put(worker)
    assert all(np.array_equal(a, b) for a, b in zip(pool.read(wanted), first, strict=True))
    pool.end()


def test_a_silent_worker_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("dlcli.data.workers.SILENCE", 0.2)
    pool = Workers(1)
    worker = pool.idle.get()
    pool.idle.put(worker)
    wanted = Wanted(save(pixels(), tmp_path / "a.png"), 12, 16, 3)

    class Sleeper(subprocess.Popen):
        def __init__(self, words, **options):
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"], **options)

    monkeypatch.setattr("dlcli.data.workers.subprocess.Popen", Sleeper)
    assert "crash or hang" in str(next(pool.read([wanted])))
    pool.end()


def test_workers_end_with_the_process_that_is_killed(tmp_path):
    path = save(pixels(), tmp_path / "a.png")
    code = (
        "from dlcli.data.workers import workers; from dlcli.data.decode import Wanted; import time\n"
        f"pool = workers(2); list(pool.read([Wanted({path!r}, 12, 16, 3)] * 8))\n"
        "print(*[pool.idle.get().popen.pid for _ in range(2)], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    ended = time.monotonic() + 2
    while any(alive(pid) for pid in pids) and time.monotonic() < ended:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in pids)


def test_training_on_pictures_of_your_own(dl, undrawn, tmp_path):
    root = classes(tmp_path / "own", 20)
    words = ("model=softmax", "data=folder", f"data.source.path={root}", "data.source.height=8", "data.source.width=8")
    code, out, err = dl("train", *words, "epochs=3", "batch=8", "data.source.memory=0.001", "data.source.workers=1")
    assert code == 0, err
    assert "accuracy 1" in out
    code, out, err = dl("train", "resume=last", "epochs=4")
    assert code == 0, err
    assert dl("eval")[0] == 0
    assert dl("attack", "n=4")[0] == 0
