"""What TensorBoard and `scalars.csv` hold, read back as a reader would."""

import csv
import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlcli.figures import canvas
from dlcli.log import Log, Ticker, clock


def read(folder: Path) -> EventAccumulator:
    """Return everything that TensorBoard would show of a folder."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    return reader


def rows(folder: Path) -> list[tuple[int, str, float]]:
    """Return the rows of `scalars.csv`."""
    with (folder / "scalars.csv").open(newline="") as file:
        return [(int(row["step"]), row["name"], float(row["value"])) for row in csv.DictReader(file)]


def test_both_logs_hold_the_same_numbers(tmp_path):
    log = Log(tmp_path)
    for step in (1, 2, 3):
        log.scalars({"train/loss": 1 / step, "train/rate": 0.1}, step)
    log.close()
    reader = read(tmp_path)
    for name in ("train/loss", "train/rate"):
        board = [(event.step, event.value) for event in reader.Scalars(name)]
        table = [(step, value) for step, found, value in rows(tmp_path) if found == name]
        assert [step for step, _ in board] == [step for step, _ in table] == [1, 2, 3]
        assert [value for _, value in board] == pytest.approx([value for _, value in table], rel=1e-6)


def test_a_resumed_log_drops_what_lies_after_its_checkpoint(tmp_path):
    first = Log(tmp_path)
    for step in (1, 2, 3, 4):
        first.scalars({"loss": float(step)}, step)
    first.close()
    second = Log(tmp_path, resumed_at=2)
    for step in (3, 4, 5):
        second.scalars({"loss": 10.0 * step}, step)
    second.close()
    expected = [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert [(step, value) for step, _, value in rows(tmp_path)] == expected
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("loss")] == expected


def test_a_run_declares_its_settings_once_and_shows_pictures(dl, tmp_path):
    assert dl("train", "model=softmax", "epochs=2", "limit=0.2", "log.every=2", "log.histograms=true")[0] == 0
    (run,) = tmp_path.glob("outputs/softmax-digits/*")
    assert len(list(run.glob("events*"))) == 1
    reader = read(run)
    tags = reader.Tags()
    assert {"look/input", "valid/confusion"} <= set(tags["images"])
    assert {"train/loss", "train/rate", "train/gradient norm", "valid/accuracy", "train/accuracy"} <= set(
        tags["scalars"]
    )
    assert {"speed/steps per second", "valid best/accuracy", "valid best/loss"} <= set(tags["scalars"])
    assert [event.step for event in reader.Scalars("valid best/accuracy")] == [8]
    assert tags["histograms"]
    plugins = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name
    assert plugins == "hparams"


def test_a_log_that_cannot_be_written_warns_once_and_goes_on(tmp_path, capsys):
    log = Log(tmp_path)

    def full(writer):
        raise OSError(28, "No space left on device")

    log.board(full)
    log.board(full)
    log.scalars({"loss": 1.0}, 1)
    log.close()
    assert capsys.readouterr().out.count("TensorBoard cannot be written") == 1
    assert rows(tmp_path) == [(1, "loss", 1.0)]


def test_lines_in_a_file_come_ever_more_rarely(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    ticker = Ticker(Console(), 1000)
    for step in range(1000):
        now[0] = 0.5 * step
        ticker.tick(step, "loss 1")
    lines = capsys.readouterr().out.splitlines()
    assert 20 < len(lines) < 80
    assert lines[0].startswith("step 2/1000  loss 1  2 steps/s  8:19 left")
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_a_bar_keeps_the_last_score_in_sight(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    ticker = Ticker(Console(file=io.StringIO(), width=80), 1000)
    told = []
    for step, text, score in ((1, "loss 2", ""), (2, "valid loss 3", "  valid 3"), (3, "loss 1", "")):
        ticker.tick(step, text, score)
        told.append(ticker.bar.tasks[0].description.partition("/s  ")[2])
    ticker.close()
    assert told == ["loss 2", "valid loss 3", "loss 1  valid 3"]


def test_pictures_of_any_range_and_texts_are_taken(tmp_path):
    log = Log(tmp_path)
    log.pictures("look", {"grid": torch.linspace(-1, 2, 3 * 1 * 8 * 8).view(3, 1, 8, 8), "words": "a *text*"}, 1)
    log.pictures("look", {"bands": torch.rand(3, 4, 8, 8)}, 1)
    log.close()
    assert read(tmp_path).Tags()["images"] == ["look/grid", "look/bands"]


def test_spans_of_time_are_readable():
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3600, 36_000)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "10:00:00",
    ]


def test_a_table_beyond_all_measure_is_not_read(tmp_path, capsys):
    with (tmp_path / "scalars.csv").open("wb") as file:
        file.truncate(10**11)  # a hole: it takes no room
    Log(tmp_path, resumed_at=5).close()
    assert "more than 268,435,456 bytes" in capsys.readouterr().out
    assert (tmp_path / "scalars.csv").read_text() == "step,name,value\n"


def test_a_figure_is_not_written_through_a_link_and_needs_no_folder(tmp_path):
    (tmp_path / "run").mkdir()
    log = Log(tmp_path / "run")
    figure = canvas("title", "x", "y")[0]
    log.figures("test", {"roc": figure}, 1)  # git drops folders that were empty
    place = tmp_path / "run/figures/test-roc.png"
    drawn = place.read_bytes()
    place.unlink()
    (tmp_path / "victim").write_text("untouched")
    place.symlink_to(tmp_path / "victim")
    log.figures("test", {"roc": figure}, 2)
    log.close()
    assert (tmp_path / "victim").read_text() == "untouched"
    assert place.read_bytes() == drawn
    assert read(tmp_path / "run").Tags()["images"] == ["test/roc"]
