"""JSON files within limits, and never half a file."""

import json
import os
import resource
from pathlib import Path

import pytest

from dlcli import disk, jsonfile

DAMAGED = {
    "empty": b"",
    "half": b'{"a": 1',
    "list": b"[1]",
    "text": b'"a"',
    "latin": b'{"a": "\xe9"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "trailing": b'{"a": 1} x',
    "control character": b'{"a": "\x1b"}',
    "twice": b'{"a": 1, "a": 2}',
    "twice below": b'{"x": [{"a": 1, "a": 2}]}',
    "deep": b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}",
    "very deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "long number": b'{"a": ' + b"9" * 41 + b"}",
    "very long number": b'{"a": ' + b"9" * 1_000_000 + b"}",
    "half a character": b'{"a": ["\\ud800"]}',
    "half a character as key": b'{"\\udc00": 1}',
    "too large": b'{"a": "' + b"a" * jsonfile.LIMIT + b'"}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_refuses(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"\w") as caught:
        jsonfile.read(tmp_path / "x.json")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_opens_regular_files_only(tmp_path, make):
    make(tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"not a regular file|symbolic link"):
        jsonfile.read(tmp_path / "x.json")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        jsonfile.read(tmp_path / "x.json")


def test_what_is_written_is_read(tmp_path):
    content = {"a": [1, -2.5, None, True, "\u00e9\U0001f600"], "b": {"c": float("inf")}, "d": 10**39, "e": Path("f")}
    disk.write(tmp_path / "x.json", jsonfile.encode(content))
    assert jsonfile.read(tmp_path / "x.json") == content | {"e": "f"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_command_line_that_is_not_utf8_stays_readable(tmp_path):
    disk.write(tmp_path / "x.json", jsonfile.encode({"command": ["dl", os.fsdecode(b"\xff")]}))
    assert jsonfile.read(tmp_path / "x.json") == {"command": ["dl", "?"]}


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    disk.write(tmp_path / "x.json", jsonfile.encode({"a": 1}))
    for fault in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, fault, lambda *_: (_ for _ in ()).throw(OSError("full")))
            with pytest.raises(OSError, match="full"):
                disk.write(tmp_path / "x.json", jsonfile.encode({"a": 2}))
        assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
        assert jsonfile.read(tmp_path / "x.json") == {"a": 1}


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f"x.json.tmp-{os.getpid()}").symlink_to(outside)
    disk.write(tmp_path / "run/x.json", jsonfile.encode({"a": 1}))
    assert outside.read_text() == "untouched"


def test_the_largest_file_takes_little_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = jsonfile.LIMIT // 6 - 4
    (tmp_path / "x.json").write_text(json.dumps({"a": [[]] * count}, separators=(",", ":")))
    jsonfile.read(tmp_path / "x.json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024  # KiB
