"""Read texts that anyone may have written: UTF-8, without NUL, of bounded size; line ends become LF.

What is not so is refused with file, line and byte, and the cure. A byte order mark is left out and noted.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlcli.errors import DataError
from dlcli.text import printable

LARGEST = 2**30  # bytes of a text; it is held in memory
LINE = 2**20  # bytes in a line of a table
MARK = "\ufeff"  # the byte order mark


def read(path: Path, notes: list[str], largest: int = LARGEST) -> str:
    """Return a whole text; add to `notes` what was left out. Raises DataError."""
    size = path.stat().st_size
    if size > largest:
        raise DataError(f"{printable(path)} has {size:,} bytes: a text has at most {largest:,}; take a part of it")
    return text(path.read_bytes(), printable(path), notes)


def text(content: bytes, name: str, notes: list[str]) -> str:
    """Return bytes as a text with LF alone. Raises DataError for bytes that are no text in UTF-8."""
    try:
        found = content.decode("utf-8")
    except UnicodeDecodeError as error:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        cure = f"iconv -f {'UTF-16' if wide else 'ISO-8859-1'} -t UTF-8 {name} > NEW makes it so"
        raise DataError(
            f"{_place(content, error.start, name)}: 0x{content[error.start]:02x} is not UTF-8; {cure}"
        ) from error
    if (nul := content.find(b"\0")) >= 0:
        raise DataError(
            f"{_place(content, nul, name)}: NUL, which no text holds; tr -d '\\0' < {name} > NEW removes it"
        )
    if found.startswith(MARK):
        notes.append(f"{name}: the byte order mark was left out")
        found = found[1:]
    if not found.strip():
        raise DataError(f"{name} is empty: a text is needed")
    return found.replace("\r\n", "\n").replace("\r", "\n") if "\r" in found else found


def gathered(path: Path, notes: list[str], suffix: str = ".txt") -> str:
    """Return a text file, or all text files below a folder, one behind the other. Raises DataError."""
    if path.is_file():
        return read(path, notes)
    files = sorted(file for file in path.rglob(f"*{suffix}") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise DataError(f"{printable(path)} holds no file *{suffix}")
    texts, room = [], LARGEST
    for file in files:
        texts.append(read(file, notes, room))
        room -= file.stat().st_size
    return "\n".join(found.removesuffix("\n") for found in texts) + "\n"


def lines(path: Path, notes: list[str]) -> list[str]:
    """Return the lines of a text. Raises DataError for a line too long to be a row of a table."""
    with path.open("rb") as file:
        number = 0
        while row := file.readline(LINE + 1):
            number += 1
            if len(row) > LINE:
                raise DataError(
                    f"{printable(path)}, line {number}: more than {LINE:,} bytes, too long for a row of a table; "
                    "repair the line, or read the file as one text with data=text"
                )
    return read(path, notes).removesuffix("\n").split("\n")


def table(path: Path, notes: list[str], columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and the cells of named columns of a CSV (comma, semicolon, tab) in UTF-8. Raises DataError."""
    rows = lines(path, notes)
    reader = csv.reader((f"{row}\n" for row in rows), delimiter=max(",;\t", key=rows[0].count), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        wanted = [_position(header, name, path) for name in columns]
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(
                    f"{printable(path)}, line {reader.line_num}: {len(row)} cells, but the header names {len(header)}; "
                    "quote cells that hold the separator"
                )
            if row:
                yield reader.line_num, [row[place] for place in wanted]
    except csv.Error as error:
        raise DataError(f"{printable(path)}, line {reader.line_num}: no CSV ({error}); quote cells rightly") from error


def unzipped(path: Path, largest: int) -> bytes:
    """Return what a gzip file holds, of at most `largest` bytes. Raises DataError."""
    try:
        with gzip.open(path) as file:
            content = file.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} cannot be read: {error}; fetch it anew") from error
    if len(content) > largest:
        raise DataError(f"{printable(path)} holds more than {largest:,} bytes: it is another file; fetch it anew")
    return content


def _position(header: list[str], name: str, path: Path) -> int:
    if header.count(name) != 1:
        shown = ", ".join(map(printable, header[:20]))
        raise DataError(f"{printable(path)}: {header.count(name)} columns {name!r}; the first line names {shown}")
    return header.index(name)


def _place(content: bytes, at: int, name: str) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"{name}, line {line}, byte {at}"
