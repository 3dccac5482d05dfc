"""Official files are read exactly; anything else is refused before it is parsed."""

import gzip
import hashlib
import os
import struct
import time
from pathlib import Path

import pytest
import torch

from dlcli.data import idx
from dlcli.data.idx import COLLECTIONS, IDX, Collection, parse
from dlcli.errors import ConfigError, DataError

NAMES = [name.removesuffix(".gz") for name in idx.PACKED]
REAL = Path(os.environ.get("DL_DATA", "/nowhere")).expanduser()
real = pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="needs DL_DATA with the official files")


def encode(values: torch.Tensor) -> bytes:
    shape = values.shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(values.flatten().tolist())


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Write a collection of 60 + 20 pictures of 4 x 3, and make it the official one."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    files = {}
    for part, count in (("train", 60), ("t10k", 20)):
        x = torch.randint(0, 256, (count, 4, 3), generator=generator)
        for name, values in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", torch.arange(count) % 10)):
            plain = encode(values)
            packed = gzip.compress(plain, mtime=0)
            (folder / f"{name}.gz").write_bytes(packed)
            for key, content in ((name, plain), (f"{name}.gz", packed)):
                files[key] = (len(content), hashlib.sha256(content).hexdigest())
    fake = Collection(home="https://official.example/", mirrors=(), names=tuple("0123456789"), files=files)
    monkeypatch.setitem(COLLECTIONS, "mnist", fake)
    return tmp_path


def load(root, **options):
    return IDX(folder="mnist", **({"valid": 10} | options)).load(root)


def test_pictures_and_facts(small):
    splits = load(small)
    assert [part.x.shape for part in splits[:3]] == [(50, 1, 4, 3), (10, 1, 4, 3), (20, 1, 4, 3)]
    assert splits.valid.y.bincount().tolist() == [1] * 10
    assert splits.facts["features"] == 12
    assert splits.facts["height"] == 4
    assert splits.facts["mean"] == [round(splits.train.x.double().mean().item() / 255, 4)]
    assert splits.facts["std"] == [round(splits.train.x.double().std(correction=0).item() / 255, 4)]
    original = parse(gzip.decompress((small / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes()), 3)
    assert torch.equal(splits.test.x[:, 0], original)


def test_unpacked_files_are_as_good(small):
    packed = load(small)
    for name in NAMES:
        path = small / "mnist" / f"{name}.gz"
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    for one, other in zip(packed[:3], load(small)[:3], strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)


def _flip(content: bytes) -> bytes:
    return content[:20] + bytes([content[20] ^ 1]) + content[21:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("damage", "words"),
    [(_flip, "SHA-256"), (lambda c: c[:-1], "bytes, not"), (lambda c: c + b"x", "bytes, not"), (lambda c: b"", "0 b")],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files_are_refused_before_parsing(small, monkeypatch, name, damage, words, packed):
    path = small / "mnist" / f"{name}.gz"
    content = path.read_bytes()
    if not packed:
        path.unlink()
        path, content = path.with_suffix(""), gzip.decompress(content)
    path.write_bytes(damage(content))
    real_parse = idx.parse
    monkeypatch.setattr(idx, "parse", lambda c, d, n: real_parse(c, d, n) if Path(n).name != path.name else 1 / 0)
    with pytest.raises(DataError, match=words) as caught:
        load(small)
    assert str(path) in str(caught.value)
    assert "delete it" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the header alone takes 16"),
        (b"\0\0\x08\x03" + bytes(11), "the header alone takes 16"),
        (b"\0\0\x0d\x03" + bytes(12), "begins with 00000d03"),  # floats
        (b"\0\0\x08\x01" + bytes(12), "begin with 00000803"),  # labels in place of pictures
        (b"<!do" + bytes(40), "begins with 3c21646f"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2, 2, 2) + bytes(7), "2 x 2 x 2 values but holds 7"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2, 2, 2) + bytes(9), "values but holds 9"),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(8), "4294967295 x 4294967295"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 4) + bytes(0), "2147483648"),  # 0 modulo 2^64
        (struct.pack(">4B3I", 0, 0, 8, 3, 0, 28, 28), "holds no values"),
    ],
)
def test_lying_headers_allocate_nothing(content, words):
    started = time.perf_counter()
    with pytest.raises(DataError, match=words):
        parse(content, 3)
    assert time.perf_counter() - started < 0.1


def test_missing_files_are_named_with_their_cure(small):
    for name in NAMES[:2]:
        (small / "mnist" / f"{name}.gz").unlink()
    with pytest.raises(DataError) as caught:
        load(small)
    message = str(caught.value)
    assert f"2 of 4 files are missing in {small / 'mnist'}: {NAMES[0]}.gz, {NAMES[1]}.gz" in message
    for word in ("DL_OFFLINE=1", "https://official.example/", "paths.data=DIR", "DL_DATA=DIR", "data=digits"):
        assert word in message


def test_missing_folder_is_not_created_when_offline(tmp_path):
    with pytest.raises(DataError, match="4 of 4 files"):
        IDX(folder="fashion-mnist").load(tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_words(small):
    with pytest.raises(ConfigError, match="choose from mnist, fashion-mnist"):
        IDX(folder="mnits").load(small)
    with pytest.raises(ConfigError, match="choose from none, static, threshold"):
        load(small, binarize="dynamic")


def test_threshold_cuts_at_one_half(small):
    grey, black = load(small).train.x, load(small, binarize="threshold").train.x
    assert torch.equal(black == 255, grey >= 128)
    assert set(black.unique().tolist()) == {0, 255}


def test_static_draw_is_bernoulli_and_fixed(small, monkeypatch):
    levels = torch.tensor([0, 26, 128, 255]).repeat(5000, 1)
    drawn = IDX(folder="mnist", binarize="static")._binarized(levels.to(torch.uint8)).float() / 255
    share = drawn.mean(0)
    assert share[0] == 0
    assert share[3] == 1  # certain pixels stay certain
    assert torch.allclose(share, levels[0] / 255, atol=4 * 0.5 / 5000**0.5)
    assert torch.equal(load(small, binarize="static").test.x, load(small, binarize="static", split_seed=5).test.x)


@real
def test_official_mnist():
    splits = IDX(folder="mnist").load(REAL)
    assert [part.size for part in splits[:3]] == [50000, 10000, 10000]
    counts = splits.train.y.bincount() + splits.valid.y.bincount()
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    whole = torch.cat([splits.train.x, splits.valid.x]).float() / 255
    assert round(whole.mean().item(), 4) == 0.1307
    assert round(whole.std().item(), 4) == 0.3081


@real
@pytest.mark.parametrize("name", ["t10k-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"])
@pytest.mark.parametrize("damage", [_flip, lambda content: content[:-100]])
def test_damaged_copies_of_official_files(tmp_path, name, damage):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for packed in idx.PACKED:
        if packed != name:
            (folder / packed).symlink_to(REAL / "mnist" / packed)
    (folder / name).write_bytes(damage((REAL / "mnist" / name).read_bytes()))
    with pytest.raises(DataError, match=name):
        IDX(folder="mnist").load(tmp_path)
