"""Files that anyone may have written: what is read, by which rule, and what is refused with place and cure."""

import gzip

import pytest

from dlcli.data import reader
from dlcli.data.reader import gathered, lines, read, table, unzipped
from dlcli.errors import DataError


def written(folder, content, name="a.txt"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "expected", "noted"),
    [
        ("one\ntwo\n", "one\ntwo\n", 0),
        ("one\r\ntwo\r\n", "one\ntwo\n", 0),
        ("one\rtwo\r\rthree", "one\ntwo\n\nthree", 0),
        (b"\xef\xbb\xbfone", "one", 1),
        ("Füße 漢字 \u2028 \x0c\n", "Füße 漢字 \u2028 \x0c\n", 0),
        ("x" * 3_000_000, "x" * 3_000_000, 0),  # a text may be one long line
    ],
)
def test_rules(tmp_path, content, expected, noted):
    notes = []
    assert read(written(tmp_path, content), notes) == expected
    assert len(notes) == noted
    assert all("byte order mark was left out" in note for note in notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"fine\nbad \xe4\n", r"a.txt, line 2, byte 9: 0xe4 is not UTF-8; iconv -f ISO-8859-1 -t UTF-8 .*a.txt > NEW"),
        ("wide".encode("utf-16"), r"line 1, byte 0: 0xff is not UTF-8; iconv -f UTF-16 -t UTF-8"),
        (b"cut \xf0\x9f\x98", "line 1, byte 4: 0xf0"),
        (b"half \xed\xa0\x80", "byte 5: 0xed"),
        (b"one\n\ntwo\0", r"line 3, byte 8: NUL, which no text holds; tr -d '\\0' <"),
        (b"", "a.txt is empty: a text is needed"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
    ],
)
def test_refusals(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read(written(tmp_path, content), [])


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(2**31)  # takes no room
    with pytest.raises(
        DataError, match=r"huge\.txt has 2,147,483,648 bytes: a text has at most 1,073,741,824; take a part"
    ):
        read(path, [])
    with pytest.raises(DataError, match=r"line 1: more than 1,048,576 bytes, too long for a row of a table.*data=text"):
        lines(path, [])


def test_names_are_made_printable(tmp_path):
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, b"\xff", "a\x1b[31m.txt"), [])
    assert "\x1b" not in str(caught.value)


def test_folders_are_read_in_the_order_of_names(tmp_path):
    (tmp_path / "b").mkdir()
    written(tmp_path, "two\n\n", "b/2.txt")
    written(tmp_path, "one", "a.txt")
    written(tmp_path, b"\xff", "picture.jpg")
    written(tmp_path, b"\xff", ".hidden.txt")
    assert gathered(tmp_path, []) == "one\ntwo\n\n"
    assert gathered(tmp_path / "a.txt", []) == "one"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no file \*.txt"):
        gathered(tmp_path / "empty", [])


def test_a_folder_has_one_limit_for_all_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "LARGEST", 10)
    for name in "abc":
        written(tmp_path, "four", f"{name}.txt")
    with pytest.raises(DataError, match=r"c\.txt has 4 bytes: a text has at most 2"):
        gathered(tmp_path, [])


def test_tables(tmp_path):
    rows = 'id;label;text\r\n1;good;"fine; ""really"""\r\n\r\n2;bad;"two\r\nlines"\r\n'
    found = list(table(written(tmp_path, rows), [], ("text", "label")))
    assert found == [(2, ['fine; "really"', "good"]), (5, ["two\nlines", "bad"])]
    assert list(table(written(tmp_path, "text\tlabel\na, b\t1\n"), [], ("text", "label"))) == [(2, ["a, b", "1"])]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,b,c\n", r"line 2: 3 cells, but the header names 2; quote cells"),
        ("words,label\na,b\n", r"0 columns 'text'; the first line names words, label"),
        ("text,text,label\na,b,c\n", r"2 columns 'text'"),
        ('text,label\n"a,b\n', "line 2: no CSV"),
        ("text,label\n" + "x" * 2_000_000 + ",1\n", "line 2: more than 1,048,576 bytes"),
        ("text,label\n" + "x" * 200_000 + ",1\n", "line 2: no CSV .field larger than field limit"),
    ],
)
def test_no_tables(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        list(table(written(tmp_path, content), [], ("text", "label")))


def test_packed_files(tmp_path):
    packed = written(tmp_path, gzip.compress(b"text\n" * 1000), "a.gz")
    assert unzipped(packed, 5000) == b"text\n" * 1000
    with pytest.raises(DataError, match="holds more than 4,999 bytes"):
        unzipped(packed, 4999)
    for damaged in (b"", b"text", gzip.compress(b"text" * 100)[:-9], gzip.compress(b"text")[:12] + b"????????"):
        if damaged:
            with pytest.raises(DataError, match=r"a.gz cannot be read: .*; fetch it anew"):
                unzipped(written(tmp_path, damaged, "a.gz"), 5000)
