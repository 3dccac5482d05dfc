"""The user's own .npz: pictures or rows, classes, labels or targets; never a pickle."""

import io
import zipfile

import numpy as np
import pytest
import torch

from dlcli.batch import Images, Table
from dlcli.data.arrays import ArrayFile
from dlcli.data.overlap import seen
from dlcli.data.splits import check
from dlcli.errors import DataError
from dlcli.verbs.common import load_data

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (40, 6, 5), dtype=np.uint8)
ROWS = GENERATOR.normal(size=(40, 3))
CLASSES = np.arange(40) % 4


@pytest.fixture
def load(tmp_path):
    def run(options=None, **arrays):
        path = tmp_path / "own.npz"
        np.savez(path, **arrays)
        return ArrayFile(path=str(path), **(options or {})).load(tmp_path)

    return run


def test_grey_bytes(load):
    splits = load(x=BYTES, y=CLASSES)
    assert isinstance(splits.train, Images)
    assert [part.x.shape for part in splits[:3]] == [(24, 1, 6, 5), (8, 1, 6, 5), (8, 1, 6, 5)]
    assert splits.train.x.dtype == torch.uint8
    facts = splits.facts
    assert (facts["kind"], facts["features"], facts["height"], facts["width"]) == ("images", 30, 6, 5)
    assert (facts["classes"], facts["names"]) == (4, ["0", "1", "2", "3"])
    assert splits.test.y.bincount().tolist() == [2, 2, 2, 2]
    check(splits, 4)


def test_classes_without_an_example_are_named(load):
    assert load(x=BYTES, y=CLASSES).facts["notes"] == []
    assert load(x=BYTES, y=CLASSES * 3).facts["notes"] == ["classes without an example: 1, 2, 4, 5, 7, ... (6 of 10)"]
    names = np.array(["cat", "dog", "emu", "fox", "gnu"])
    assert load(x=BYTES, y=CLASSES, names=names).facts["notes"] == ["classes without an example: gnu (1 of 5)"]


def test_colour_floats(load):
    x = GENERATOR.random((40, 3, 6, 5))
    splits = load(x=x, y=CLASSES % 2, names=np.array(["cat", "dog"]))
    assert splits.train.x.dtype == torch.float32
    assert splits.facts["mean"] == pytest.approx(splits.train.x.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert len(splits.facts["std"]) == 3
    assert (splits.facts["names"], splits.facts["labels"]) == (["cat", "dog"], 1)
    check(splits, 2)


def test_official_splits_are_kept(load):
    splits = load(x=BYTES, y=CLASSES, x_test=BYTES[:10], y_test=CLASSES[:10], options={"valid": 0.1})
    assert [part.size for part in splits[:3]] == [36, 4, 10]
    assert torch.equal(splits.test.x[:, 0], torch.from_numpy(BYTES[:10]))
    splits = load(x=BYTES, y=CLASSES, x_valid=BYTES[:9], y_valid=CLASSES[:9], options={"test": 8})
    assert [part.size for part in splits[:3]] == [32, 9, 8]
    both = {"x_valid": BYTES[:9], "y_valid": CLASSES[:9], "x_test": BYTES[:5], "y_test": CLASSES[:5]}
    splits = load(x=BYTES, y=CLASSES, **both)
    assert [part.size for part in splits[:3]] == [40, 9, 5]
    assert torch.equal(splits.train.x[:, 0], torch.from_numpy(BYTES))


@pytest.mark.parametrize(
    ("y", "shape", "facts"),
    [
        (CLASSES, (24,), {"classes": 4}),
        (CLASSES[:, None].astype(np.uint8), (24,), {"classes": 4}),
        (CLASSES > 1, (24,), {"classes": 2, "labels": 1}),
        (np.stack([CLASSES > 1, CLASSES % 2, CLASSES > 0], 1).astype(int), (24, 3), {"labels": 3}),
        (ROWS[:, 0], (24, 1), {"targets": 1}),
        (ROWS[:, :2], (24, 2), {"targets": 2}),
    ],
)
def test_answers(load, y, shape, facts):
    splits = load(x=ROWS, y=y)
    assert isinstance(splits.train, Table)
    assert splits.train.y.shape == shape
    found = {key: splits.facts[key] for key in ("classes", "labels", "targets") if key in splits.facts}
    assert found == facts
    check(splits, splits.facts.get("classes"))


def test_channels_come_first(load):
    assert load(x=np.zeros((40, 4, 9, 3), np.uint8), y=CLASSES).train.x.shape[1:] == (4, 9, 3)
    with pytest.raises(DataError, match=r"shape \(40, 9, 9, 3\).* write x.transpose\(0, 3, 1, 2\)"):
        load(x=np.zeros((40, 9, 9, 3), np.uint8), y=CLASSES)


def test_rows_belong_together_and_moments_to_training(load):
    splits = load(x=ROWS, y=ROWS[:, 0])
    for part in splits[:3]:
        assert torch.equal(part.x[:, :1], part.y)
    assert splits.facts["mean"] == pytest.approx(splits.train.x.double().mean(0).tolist(), rel=1e-5)
    assert splits.facts["target_std"] == pytest.approx([splits.train.y.std(correction=0).item()], rel=1e-5)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": BYTES}, "lacks y"),
        ({"images": BYTES}, r"lacks x, y \(it has none of ours\)"),
        ({"x": BYTES, "y": CLASSES, "x_test": BYTES}, "lacks y_test"),
        ({"x": BYTES, "y": CLASSES[:39]}, "40 rows in x but 39 in y"),
        ({"x": BYTES.astype(int), "y": CLASSES}, "holds int64 pixels: store bytes"),
        ({"x": BYTES[:, 0, 0], "y": CLASSES}, r"x of .* is uint8 of shape \(40,\)"),
        ({"x": BYTES, "y": np.array(["a"] * 40)}, "y of .* is <U1"),
        ({"x": BYTES, "y": CLASSES - 1}, "classes from -1 to 2"),
        ({"x": BYTES, "y": CLASSES * 0}, "at least two of them"),
        ({"x": BYTES, "y": CLASSES, "names": np.array(["a", "b"])}, "classes from 0 to 3 and 2 names"),
        ({"x": np.array([{}] * 40), "y": CLASSES}, "cannot be read as .npz: Object arrays"),
    ],
)
def test_faults(load, arrays, words):
    with pytest.raises(DataError, match=words):
        load(**arrays)


def test_a_file_of_another_kind_is_told_without_advice_to_trust_it(tmp_path):
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="it is of another kind; write it by") as caught:
        ArrayFile(path="own.csv").load(tmp_path)
    assert "pickle" not in str(caught.value)


def test_bright_floats_are_caught_by_the_check(load):
    with pytest.raises(DataError, match=r"pixels .* in \[0, 1\]"):
        check(load(x=BYTES.astype(float), y=CLASSES), 4)


def _npy(header: str, data: bytes) -> bytes:
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + data


@pytest.mark.parametrize(
    "shape", ["(1000000000000, 28, 28)", "(40, 28, 28)", "(-1, 28, 28)", "__import__('os').abort()"]
)
def test_lying_headers(tmp_path, shape):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x.npy", _npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}", b"123"))
        archive.writestr("y.npy", b"")
    (tmp_path / "own.npz").write_bytes(content.getvalue())
    with pytest.raises(DataError, match=r"cannot be read as .npz"):
        ArrayFile(path="own.npz").load(tmp_path)


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: b"text", lambda c: c[: len(c) // 2], lambda c: c[:-10]])
def test_damaged_files(tmp_path, damage):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=BYTES, y=CLASSES)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"cannot be read as .npz"):
        ArrayFile(path=str(path)).load(tmp_path)


def test_any_flipped_byte_is_harmless(tmp_path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=BYTES, y=CLASSES)
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            splits = ArrayFile(path=str(path)).load(tmp_path)
        except DataError:
            continue
        assert sum(part.size for part in splits[:3]) == 40


def test_an_npy_is_not_an_npz(tmp_path):
    np.save(tmp_path / "own.npy", BYTES)
    with pytest.raises(DataError, match=r"cannot be read as .npz"):
        ArrayFile(path="own.npy").load(tmp_path)


def test_examples_that_training_has_too_are_counted(tmp_path, capsys):
    def told(**arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        source = {"_target_": "dlcli.data.arrays.ArrayFile", "path": str(tmp_path / "own.npz")}
        splits = load_data({"source": source}, str(tmp_path))
        assert capsys.readouterr().out.splitlines() == splits.facts["notes"]
        return splits.facts["notes"]

    both = {"x_valid": BYTES[30:35], "y_valid": CLASSES[:5], "x_test": BYTES[:9] ^ 1, "y_test": CLASSES[:9]}
    assert told(x=BYTES, y=CLASSES, **both) == ["5 of 5 validation examples also stand in the training split"]
    assert told(x=BYTES, y=CLASSES) == []
    rows = np.concatenate([ROWS[:7], ROWS[:3, ::-1]])  # the same numbers in another order are another example
    found = told(x=ROWS, y=CLASSES, x_test=rows, y_test=CLASSES[:10], x_valid=-ROWS, y_valid=CLASSES)
    assert found == ["7 of 10 test examples also stand in the training split"]


def test_rows_are_compared_to_the_bit():
    x = torch.randint(0, 2, (400, 1, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert seen(x[:300], x[290:]) == 10
    assert seen(x[:300], x[:0]) == 0
    alike = torch.eye(8, dtype=torch.uint8)  # of one sum, all of them
    assert seen(alike.repeat(1, 8)[:4], alike.repeat(1, 8)) == 4
