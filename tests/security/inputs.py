"""What pretends to be data: `.npz`, tables and IDX files that lie about themselves."""

import io
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from payloads import ARCHIVES, COMMAND, EVIL, zipped


def array(header: str, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an .npy file with a header of our own making."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", min(len(text), 65535)) + text + body


def saved(**arrays: Any) -> bytes:
    """Return an .npz file as numpy writes it."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrays() -> Iterator[tuple[str, bytes]]:
    """Yield files that pretend to be `.npz`."""
    x, y = np.zeros((20, 4), np.float32), np.arange(20) % 2
    whole = saved(x=x, y=y)
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 4), }"
    yield "objects", saved(x=np.array([{"a": 1}], dtype=object), y=y)
    yield "a pickle as x", zipped({"x.npy": EVIL, "y.npy": EVIL})
    yield "a pickle as .npy", EVIL
    yield "a lone array", array(header, b"\0" * 320)
    for name, text in {
        "code in a header": f"__import__('os').system('{COMMAND}')",
        "call in a header": "{'descr': exec('x'), 'fortran_order': False, 'shape': (1,)}",
        "deep header": "(" * 5000 + ")" * 5000,
        "objects in a header": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "a shape that lies": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }",
        "a negative shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }",
        "a shape that overflows": "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }",
        "a shape of True": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4), }",
        "an endless type": "{'descr': [('a', '<f4', (1000000, 1000000))], 'fortran_order': False, 'shape': (1,), }",
        "a type of texts": "{'descr': '<U1000000', 'fortran_order': False, 'shape': (20, 4), }",
        "another key": "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 4), 'x': 1}",
    }.items():
        yield name, zipped({"x.npy": array(text, b"\0" * 320), "y.npy": array(text, b"\0" * 320)})
    yield "a version of 9", zipped({"x.npy": array(header, b"\0" * 320, (9, 0)), "y.npy": b""})
    yield "10 GB of zeros", zeros()
    yield "a name that leads out", zipped({"../outside/x.npy": EVIL, "/var/x.npy": EVIL})
    yield "one member twice", whole + zipped({"x.npy": EVIL, "y.npy": EVIL})
    yield "cut off", whole[:-40]
    yield "a flipped bit", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    yield "an encrypted member", whole.replace(b"PK\x01\x02\x2d\x03\x2d\x00\x00", b"PK\x01\x02\x2d\x03\x2d\x00\x01")
    yield "NaN", saved(x=np.full((20, 4), np.nan), y=y)
    yield "1e39", saved(x=np.full((20, 4), 1e39), y=y)
    yield "complex numbers", saved(x=x.astype(complex), y=y)
    yield "dates", saved(x=x.astype("datetime64[s]"), y=y)
    yield "a class of 2^62", saved(x=x, y=np.where(y, 2**62, 0))
    yield "a class of 2^31", saved(x=x, y=np.where(y, 2**31, 0))
    yield "a class of -1", saved(x=x, y=-y)
    yield "no rows", saved(x=x[:0], y=y[:0])
    yield "no columns", saved(x=x[:, :0], y=y)
    yield "one row", saved(x=x[:1], y=y[:1])
    yield "scalars", saved(x=np.float32(1), y=np.int64(1))
    yield "labels of seven", saved(x=x, y=np.full((20, 3), 7))
    yield "names with terminal codes", saved(x=x, y=y, names=np.array(["\x1b[2J\x1b]0;owned\x07", "[/red]\u202e"]))
    yield "names of bytes", saved(x=x, y=y, names=np.array([b"\xff", b"\xfe"]))
    yield "names without shape", saved(x=x, y=y, names=np.array("both"))


def zeros() -> bytes:
    """Return an `.npz` of some 10 MB that unpacks to 10 GB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        block = bytes(10_000_000)
        header = array("{'descr': '|u1', 'fortran_order': False, 'shape': (10000, 1000, 1000), }")
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(header + block)
    content = file.getvalue()
    return content.replace(struct.pack("<Q", len(header + block)), struct.pack("<Q", 10**10))


TABLES = {
    "nothing": b"",
    "a header alone": b"a,y\n",
    "numbers for names": b"1,2\n3,4\n",
    "NUL bytes": b"a,y\n\0,1\n",
    "not UTF-8": b"a,y\n\xff,1\n",
    "UTF-16": "a,y\n1,2\n".encode("utf-16"),
    "ragged rows": b"a,y\n1,2,3\n",
    "a quote without end": b'a,y\n"1,2\n',
    "a line of 20 MB": b"a,y\n" + b"x" * 20_000_000,
    "100,000 columns": b",".join(b"c%d" % i for i in range(100_000)) + b",y\n1,2\n",
    "a column twice": b"a,a,y\n1,2,3\n",
    "formulas": b"a,y\n" + b"=cmd|' /C calc'!A0,1\n@SUM(1),2\n" * 3,
    "terminal codes": b"\x1b]0;owned\x07,y\n" + b"\x1b[2J,a\nx,b\n" * 9,
    "markup": b"a,y\n" + b"1,[/red]\n2,[link=x]\n" * 9,
    "numbers that are none": b"a,y\n" + b"inf,1\n-inf,2\n1e999,3\n" * 9,
    "numbers too large": b"a,y\n" + b"1e308,1\n-1e308,2\n" * 9,
    "numbers in other digits": "a,y\n\u00b2,1\n\u0663,2\n".encode() * 2,
    "10,000 kinds of text": b"a,y\n" + b"".join(b"t%d,%d\n" % (i, i % 2) for i in range(10_000)),
    "one answer": b"a,y\n1,1\n2,1\n3,1\n",
    "a Parquet head": b"PAR1" + b"\xff" * 64 + b"PAR1",
}
PARQUET = {
    "nothing": b"",
    "a head and a foot": b"PAR1" + b"\0" * 16 + struct.pack("<I", 8) + b"PAR1",
    "a footer without end": b"PAR1" + b"\xff" * 64 + struct.pack("<I", 2**31 - 1) + b"PAR1",
    "a negative footer": b"PAR1" + b"\xff" * 64 + struct.pack("<i", -1) + b"PAR1",
    "a pickle": EVIL,
    "an encrypted footer": b"PARE" + b"\xff" * 64 + struct.pack("<I", 32) + b"PARE",
}
IDX = {
    "a pickle": EVIL,
    "a header of 2^31": b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3,
    "gzip of zeros": ARCHIVES["gzip of zeros"],
    "an error page": b"<html>404</html>",
    "the right size": b"\0" * 4542,
}
