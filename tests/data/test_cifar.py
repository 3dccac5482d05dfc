"""CIFAR-10 however it is packed, USPS, few labels; anything but the official files is refused before it is read."""

import hashlib
import io
import lzma
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcli.data import cifar
from dlcli.data.cifar import CIFAR10, INSIDE
from dlcli.data.idx import IDX
from dlcli.data.splits import few
from dlcli.data.usps import USPS
from dlcli.errors import ConfigError, DataError

REAL = Path(os.environ.get("DL_DATA", "/nowhere")).expanduser()
real = pytest.mark.skipif(not (REAL / "cifar-10").is_dir(), reason="needs DL_DATA with the official files")


def batch(number, count=20):
    generator = np.random.default_rng(number)
    x = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    return pickle.dumps({"data": x, "labels": [i % 10 for i in range(count)]}, 3)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Make six small batches the official ones; return the folder, where nothing lies yet, and their contents."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    contents = {name: batch(number) for number, name in enumerate([*cifar.TRAIN, *cifar.TEST])}
    for known in (cifar.TRAIN, cifar.TEST):
        for name in known:
            content = contents[name]
            monkeypatch.setitem(known, name, (len(content), hashlib.sha256(content).hexdigest()))
    (tmp_path / "cifar-10" / INSIDE).mkdir(parents=True)
    return tmp_path, contents


def put(root, contents, packing):
    inside = root / "cifar-10" / INSIDE
    if packing == "tar":
        with tarfile.open(root / "cifar-10" / cifar.ARCHIVE, "w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(f"{INSIDE}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return
    for name, content in contents.items():
        path = inside / (name if packing == "plain" else f"{name}.xz")
        path.write_bytes(content if packing == "plain" else lzma.compress(content))


def load(root, **options):
    return CIFAR10(**({"valid": 10} | options)).load(root)


@pytest.mark.parametrize("packing", ["plain", "xz", "tar"])
def test_every_packing_gives_the_same_pictures(small, packing):
    root, contents = small
    put(root, contents, packing)
    splits = load(root)
    assert [part.size for part in splits[:3]] == [90, 10, 20]
    assert splits.valid.y.bincount().tolist() == [1] * 10
    original = pickle.loads(contents["test_batch"])["data"]
    assert np.array_equal(splits.test.x.numpy().reshape(20, -1), original)
    assert splits.facts["mean"] == [round(m, 4) for m in (splits.train.x.double() / 255).mean((0, 2, 3)).tolist()]
    assert splits.facts["std"] == [
        round(s, 4) for s in (splits.train.x.double() / 255).std((0, 2, 3), correction=0).tolist()
    ]
    again = load(root)  # from the cache, where it was unpacked
    assert all(
        torch.equal(one, other)
        for a, b in zip(splits[:3], again[:3], strict=True)
        for one, other in zip(a, b, strict=True)
    )
    assert len(list((root / "cache").rglob("?" * 64))) == (0 if packing == "plain" else 6)


def test_a_damaged_cache_is_unpacked_anew(small):
    root, contents = small
    put(root, contents, "xz")
    load(root)
    for path in (root / "cache").rglob("?" * 64):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert load(root).train.size == 90


@pytest.mark.parametrize("packing", ["plain", "xz", "tar"])
@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: c[:50] + b"!" + c[51:]])
def test_damaged_batches_are_refused_before_they_are_read(small, monkeypatch, packing, damage):
    root, contents = small
    put(root, contents | {"data_batch_3": damage(contents["data_batch_3"])}, packing)
    monkeypatch.setattr(
        cifar, "unpickle", lambda content, name: pickle.loads(content) if name != "data_batch_3" else 1 / 0
    )
    with pytest.raises(DataError, match=r"data_batch_3.*(bytes, not|SHA-256)"):
        load(root)


def test_broken_archives_and_nothing_at_all(small):
    root, contents = small
    with pytest.raises(DataError, match=r"CIFAR-10 is missing(.|\n)*DL_OFFLINE(.|\n)*cifar.html(.|\n)*data=digits"):
        load(root)
    (root / "cifar-10" / cifar.ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        load(root)
    put(root, contents, "tar")
    archive = root / "cifar-10" / cifar.ARCHIVE
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:5000] + b"????" + whole[5004:]):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot be read|SHA-256"):
            load(root)
    put(root, {name: content for name, content in contents.items() if name != "test_batch"}, "tar")
    with pytest.raises(DataError, match="test_batch"):
        load(root)
    for name in contents:
        (root / "cifar-10" / INSIDE / f"{name}.xz").write_bytes(b"no xz")
    with pytest.raises(DataError, match="is no xz file"):
        load(root)


def test_a_packed_bomb_stays_small(small):
    root, contents = small
    put(root, contents, "xz")
    (root / "cifar-10" / INSIDE / "data_batch_1.xz").write_bytes(lzma.compress(bytes(2**21)))
    with pytest.raises(DataError, match="bytes, not"):
        load(root)


def test_few_labels_are_balanced_and_nested():
    y = torch.arange(1000) % 7
    y[:500] = 0
    kept = {count: few(y, count, 3) for count in (7, 70, 200)}
    assert y[kept[7]].bincount().tolist() == [1] * 7
    assert y[kept[70]].bincount().tolist() == [10] * 7
    assert y[kept[200]].bincount().max() - y[kept[200]].bincount().min() <= 1
    assert set(kept[7].tolist()) < set(kept[70].tolist()) < set(kept[200].tolist())
    assert torch.equal(few(y, None, 3), torch.arange(1000))
    assert torch.equal(few(y, 1000, 3), torch.arange(1000))
    assert not torch.equal(few(y, 70, 4), kept[70])


def test_few_labels_where_a_class_is_rare():
    y = torch.tensor([0] * 50 + [1] * 3)
    assert y[few(y, 20, 0)].bincount().tolist() == [17, 3]


@pytest.mark.parametrize("count", [0, -1, 101, 2.5, "ten"])
def test_impossible_numbers_of_labels(count):
    with pytest.raises(DataError, match=rf"cannot keep {count} of 100 .* a count from 1 to 100, or null"):
        few(torch.arange(100) % 10, count, 0)


@real
def test_official_cifar():
    splits = CIFAR10(train=100).load(REAL)
    assert [part.size for part in splits[:3]] == [100, 5000, 10000]
    assert splits.train.y.bincount().tolist() == [10] * 10
    assert splits.valid.y.bincount().tolist() == [500] * 10
    assert splits.test.y[:5].tolist() == [3, 8, 8, 0, 6]
    assert splits.test.x[0, :, 0, 0].tolist() == [158, 112, 49]
    assert splits.facts["names"][splits.test.y[0]] == "cat"


@real
def test_official_usps():
    published, framed = (USPS(size=size).load(REAL) for size in (16, 28))
    assert [part.size for part in published[:3]] == [6291, 1000, 2007]
    counts = published.train.y.bincount() + published.valid.y.bincount()
    assert counts.tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert published.train.x.shape[1:] == (1, 16, 16)
    assert framed.train.x.shape[1:] == (1, 28, 28)
    assert framed.train.x[:, :, :4].max() == 0
    assert torch.equal(framed.train.y, published.train.y)
    assert USPS(train=10).load(REAL).train.y.sort().values.tolist() == list(range(10))


@real
def test_official_mnist_with_few_labels():
    assert IDX(folder="mnist", train=30).load(REAL).train.y.bincount().tolist() == [3] * 10


def test_usps_that_is_missing_or_another(tmp_path):
    with pytest.raises(DataError, match=r"zip\.npy\.npz: put it there .* data=digits"):
        USPS().load(tmp_path)
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "zip.npy.npz").write_bytes(b"x")
    with pytest.raises(DataError, match="has 1 bytes, not 2704151"):
        USPS().load(tmp_path)
    with pytest.raises(ConfigError, match="size=20: USPS comes in 16"):
        USPS(size=20).load(tmp_path)
