"""Pickles of arrays are read as Python reads them; whatever else a pickle asks for is refused and does not happen."""

import os
import pickle
import time
from contextlib import suppress

import numpy as np
import pytest

from dlcli.data.unpickle import unpickle
from dlcli.errors import DataError, RefusedError

GOOD = [
    None,
    True,
    -7,
    2**40,
    0.25,
    "text",
    b"bytes",
    [1, [2, "x"], ()],
    {"a": 1, b"b": [2.0], 3: (1, 2, 3, 4)},
    ("one",),
    ("one", 2),
]


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_plain_values(value, protocol):
    if isinstance(value, (bytes, dict)) and protocol == 2:
        pytest.skip("Python 3 writes bytes of protocol 2 as a call")
    assert unpickle(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("kind", ["u1", "i4", ">i4", "f4", "f8", "b1", "u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(kind, order):
    array = np.array(np.arange(24).reshape(2, 3, 4) % 2, dtype=kind, order=order)
    for protocol in (3, 4):
        content = pickle.dumps({"x": array, "again": array[0].copy()}, protocol)
        found = unpickle(content)
        assert found["x"].dtype == pickle.loads(content)["x"].dtype
        assert np.array_equal(found["x"], array)
        assert np.array_equal(found["again"], array[0])


def test_the_form_that_python_2_wrote():
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
        b"q\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x06\x00\x01\x02\xfd\xfe\xfftbU\x06labels]q\x07(K\x06K\x09eu."
    )
    found = unpickle(content)
    assert found["data"].tolist() == [[0, 1, 2], [253, 254, 255]]
    assert found["labels"] == [6, 9]
    assert np.array_equal(pickle.loads(content, encoding="latin1")["data"], found["data"])


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "call",
    [
        (os.system, "touch tripped"),
        (eval, "open('tripped', 'w')"),
        (exec, "open('tripped', 'w')"),
        (open, "tripped", "w"),
        (os.mkdir, "tripped"),
        (getattr, os, "system"),
        (np.load, "tripped"),
        (np.fromfile, "tripped"),
    ],
    ids=lambda call: call[0].__name__,
)
def test_calls_are_refused_and_not_made(call, protocol, tmp_path):
    for value in (Evil(*call), [Evil(*call)], {"data": Evil(*call)}, (1, Evil(*call))):
        try:
            content = pickle.dumps(value, protocol)
        except (pickle.PicklingError, TypeError):
            continue
        with pytest.raises((RefusedError, DataError)):
            unpickle(content, "batch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"cos\nsystem\n(S'touch tripped'\ntR.", "asks for"),
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "a call of os system"),
        (b"(cos\nsystem\nU\x02lso.", "the opcode OBJ"),
        (b"(U\x02lsios\nsystem\n.", "the opcode INST"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\n\x85R.", "a call of numpy.core.multiarray"),
        (b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.", "a call of numpy dtype"),
        (b"\x80\x02c__builtin__\ngetattr\n)\x81.", "the opcode NEWOBJ"),
        (b"\x80\x02}K\x01b.", "a state for dict"),
        (b"\x80\x02}]K\x01s.", "with a list as key"),
        (b"\x80\x02P1\n.", "the opcode PERSID"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
    ],
)
def test_refusals_name_what_was_asked(content, words):
    with pytest.raises((RefusedError, DataError), match=words) as caught:
        unpickle(content, "data_batch_1")
    assert "data_batch_1" in str(caught.value)


ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
KIND = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02].trailing"[:3],
        b"\x80\x02h\x05.",
        b"\x80\x02e.",
        ARRAY + b"K\x09K\x09\x86" + KIND + b"U\x06aaaaaatb.",  # 81 bytes stated, 6 there
        ARRAY + b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86" + KIND + b"U\x01atb.",  # negative sides
        ARRAY + b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85" + KIND + b"U\x01atb.",  # 2^64 bytes
        b"\x80\x02T\xff\xff\xff\x7fabc.",
        b"\x80\x02" + b"(" * 20_000 + b".",
    ],
)
def test_damaged_pickles(content):
    started = time.process_time()
    with pytest.raises((DataError, RefusedError), match=r"fetch it anew|nothing of it was run"):
        unpickle(content)
    assert time.process_time() - started < 2


def test_deep_nesting_needs_no_recursion():
    unpickle(b"\x80\x02]" + b"\x85" * 20_000 + b".")


def test_a_bomb_of_shared_lists_stays_small():
    content = b"\x80\x02]q\x00" + b"".join(
        b"]q" + bytes([i]) + b"(h" + bytes([i - 1]) + b"h" + bytes([i - 1]) + b"e" for i in range(1, 60)
    )
    started = time.process_time()
    unpickle(content + b".")
    with pytest.raises(RefusedError, match="a call of list"):
        unpickle(content + b")R.")
    assert time.process_time() - started < 1


def test_mutations_never_run_anything(tmp_path):
    good = pickle.dumps({"data": np.arange(6, dtype=np.uint8), "labels": [1, 2]}, 2 + 1)
    random = np.random.default_rng(0)
    for _ in range(3000):
        content = bytearray(good)
        for _ in range(random.integers(1, 6)):
            content[random.integers(len(content))] = random.integers(256)
        with suppress(DataError, RefusedError):
            unpickle(bytes(content))
    assert not list(tmp_path.iterdir())
