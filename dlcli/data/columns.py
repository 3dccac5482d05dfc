"""Read a table file into named columns of cells.

A cell is a text, a number, or None where the value is missing. CSV as in RFC 4180, with a header line and
comma, semicolon or tab between the cells; Parquet where pyarrow is installed.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from dlcli.errors import DataError

Columns = dict[str, list[Any]]

LINE = 2**24  # characters
MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}  # written in any case


def read(path: Path) -> Columns:
    """Read CSV or Parquet, by suffix; raise DataError for a file that is not such a table."""
    columns = _parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else _csv(path)
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{path} holds no rows: a table needs a header and at least one row")
    return columns


def numbers(cells: list[Any]) -> list[float] | None:
    """Return a column as numbers, NaN where a cell is missing; None where any cell is not a number."""
    try:
        return [math.nan if cell is None else float(cell) for cell in cells]
    except (TypeError, ValueError):
        return None


def _csv(path: Path) -> Columns:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            line = next(_lines(file), "")
            file.seek(0)
            reader = csv.reader(_lines(file), delimiter=max(",;\t", key=line.count), strict=True)
            header = _header(next(reader, []), path)
            columns: Columns = {name: [] for name in header}
            for row in reader:
                if row:
                    _append(columns, row, f"{path}, line {reader.line_num}")
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}; save it as such") from error
    return columns


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file, however long it claims one to be. Raises csv.Error."""
    while line := file.readline(LINE):
        if len(line) == LINE:
            raise csv.Error(f"a line of more than {LINE:,} characters")
        yield line


def _header(cells: list[str], path: Path) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise DataError(f"{path} is empty: a table needs a header and at least one row")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1 or not name)
    if repeated:
        raise DataError(f"{path}, line 1: column names {repeated} are empty or repeated; give each column its own")
    if numbers(names) is not None:
        raise DataError(f"{path}, line 1 holds numbers alone: the first line must name the columns; add a header")
    return names


def _append(columns: Columns, row: list[str], place: str) -> None:
    if len(row) != len(columns):
        raise DataError(
            f"{place}: {len(row)} cells, but the header names {len(columns)} columns; "
            "repair the line (quote cells that contain the separator)"
        )
    for cells, cell in zip(columns.values(), row, strict=True):
        text = cell.strip()
        cells.append(None if text.lower() in MISSING else text)


def _parquet(path: Path) -> Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path} needs pyarrow, which is not installed: pip install 'dlcli[parquet]'") from error
    try:
        columns = parquet.read_table(path).to_pydict()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file: {error}") from error
    return {
        name: [None if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell for cell in cells]
        for name, cells in columns.items()
    }
