"""Sounds: lengths, spectrograms by a loop, the official splits, and archives from strangers."""

import hashlib
import io
import math
import os
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcli.batch import Images, Signals
from dlcli.data import spoken
from dlcli.data.augment import Flip
from dlcli.data.loader import Resident
from dlcli.data.spectrogram import Spectrogram
from dlcli.data.splits import check
from dlcli.data.spoken import FSDD, fitted, samples
from dlcli.data.tones import Tones
from dlcli.errors import ConfigError, DataError

REAL = Path(os.environ.get("DL_DATA", "/nowhere")).expanduser()
real = pytest.mark.skipif(not (REAL / "fsdd").is_dir(), reason="needs DL_DATA with the official files")


def recording(signal, rate=8000, channels=1, width=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes((np.asarray(signal) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def test_samples_are_shares_of_the_range():
    signal = np.array([0, 0.5, -1.0, 1.0])
    assert torch.allclose(samples(recording(signal), "a.wav"), torch.tensor(signal).float(), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVE", "is no WAV file"),
        (recording(np.zeros(8), rate=44100), "1 channels of 16 bits at 44100 Hz: one channel of 16 bits at 8000 Hz"),
        (recording(np.zeros(8), channels=2), "2 channels"),
        (recording([]), "one channel of 16 bits"),
    ],
)
def test_other_recordings(content, words):
    with pytest.raises(DataError, match=words):
        samples(content, "a.wav")


def test_lengths_are_brought_to_one_from_both_sides():
    signal = torch.arange(1.0, 6.0)
    assert fitted(signal, 5).equal(signal)
    assert fitted(signal, 8).tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert fitted(signal, 3).tolist() == [2, 3, 4]
    assert fitted(signal, 2).tolist() == [2, 3] or fitted(signal, 2).tolist() == [3, 4]


def test_the_spectrogram_by_a_loop():
    x = 0.3 * torch.randn(2, 800, generator=torch.Generator().manual_seed(0))
    form = Spectrogram(rate=8000, bands=16, frames=20, window=128)
    found = form(x)
    assert found.shape == (2, 16, 20)
    padded = np.pad(x[1].double().numpy(), 64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    power = np.stack([np.abs(np.fft.rfft(padded[40 * t : 40 * t + 128] * hann)) ** 2 for t in range(20)], 1)
    mel = np.linspace(0, 2595 * math.log10(1 + 4000 / 700), 18)
    corners = 700 * (10 ** (mel / 2595) - 1)
    bands = np.zeros((16, 20))
    for b in range(16):
        for f in range(65):
            hertz = f * 8000 / 128
            left = (hertz - corners[b]) / (corners[b + 1] - corners[b])
            right = (corners[b + 2] - hertz) / (corners[b + 2] - corners[b + 1])
            bands[b] += max(0, min(left, right)) * power[f]
    expected = np.clip(1 + 10 * np.log10(np.maximum(bands / bands.max(), 1e-10)) / 80, 0, 1)[::-1]
    assert np.abs(found[1].numpy() - expected * 255).max() < 1


def test_a_tone_is_a_line_at_its_height():
    time = torch.arange(8000) / 8000
    pictures = Spectrogram(rate=8000)(torch.stack([(2 * math.pi * f * time).sin() for f in (300.0, 1000.0, 3000.0)]))
    rows = pictures[:, :, 20:40].float().mean(2).argmax(1).tolist()
    assert rows[0] > rows[1] > rows[2]  # high tones on top
    assert Spectrogram(rate=8000)(torch.zeros(1, 8000)).max() == 0  # silence is black
    with pytest.raises(ConfigError, match="from 1 to 128 bands"):
        Spectrogram(rate=8000, bands=200)(torch.zeros(1, 8000))


def test_tones_can_be_told_apart_by_their_spectra():
    splits = Tones().load(Path())
    check(splits, 5)
    assert isinstance(splits.train, Signals)
    assert splits.train.x.shape == (300, 1, 256)
    assert splits.train.x.abs().max() <= 1
    assert splits.train.y.bincount().tolist() == [60] * 5
    assert torch.equal(Tones().load(Path()).test.x, splits.test.x)
    assert not torch.equal(splits.test.x, splits.train.x)
    assert splits.facts["std"] == [pytest.approx(splits.train.x.std().item(), abs=1e-3)]

    def pitches(part):  # zero crossings in the first and the last third
        x = Tones(noise=0.0).load(Path())._asdict()[part].x[:, 0]
        crossings = (x[:, 1:].sign() != x[:, :-1].sign()).float()
        return crossings[:, :85].sum(1), crossings[:, 170:].sum(1)

    early, late = pitches("test")
    y = splits.test.y
    assert ((late - early)[y == 3] > 0).all()
    assert ((late - early)[y == 4] < 0).all()
    assert ((late - early)[y < 3].abs() <= 2).all()
    for option in ({"samples": 0}, {"length": 8}, {"noise": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            Tones(**option).load(Path())


def test_signals_are_served_as_they_are():
    splits = Tones(samples=30).load(Path())
    batch = next(Resident(splits.train, size=30, shuffle=False).epoch(0))
    assert isinstance(batch, Signals)
    assert torch.equal(batch.x, splits.train.x)
    with pytest.raises(ConfigError, match=r"augment=Flip got rows of shape \(1, 256\)"):
        Resident(splits.train, size=5, augment=Flip())


def test_a_small_net_tells_tones_apart():
    splits = Tones(samples=150).load(Path())
    net = torch.nn.Sequential(
        torch.nn.Conv1d(1, 16, 9, 2, 4), torch.nn.ReLU(), torch.nn.Conv1d(16, 16, 9, 2, 4), torch.nn.ReLU(),
        torch.nn.Conv1d(16, 16, 9, 2, 4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16 * 32, 5),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for epoch in range(12):
        for batch in Resident(splits.train, size=25).epoch(epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(batch.x), batch.y).backward()
            optimizer.step()
    assert (net(splits.test.x).argmax(1) == splits.test.y).float().mean() > 0.6


def small(root, monkeypatch, extra=(), packing="tar"):
    """Make 60 short recordings the official ones, and write them, with what a stranger may have added."""
    random = np.random.default_rng(0)
    contents = {
        f"{digit}_{speaker}_{index}.wav": recording(0.1 * random.standard_normal(60 + index))
        for digit in range(10)
        for speaker in ("theo", "lucas")
        for index in (0, 7, 8)
    }
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + contents[name] for name in sorted(contents)))
    monkeypatch.setattr(spoken, "SHA256", digest.hexdigest())
    (root / "fsdd").mkdir()
    if packing == "folder":
        (root / "fsdd" / "recordings").mkdir()
        for name, content in contents.items():
            (root / "fsdd" / "recordings" / name).write_bytes(content)
        return
    with tarfile.open(root / "fsdd" / spoken.ARCHIVE, "w:xz") as tar:
        for name, content in [*contents.items(), *extra]:
            member = tarfile.TarInfo(f"recordings/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("packing", ["tar", "folder"])
def test_both_splits(tmp_path, monkeypatch, packing):
    small(tmp_path, monkeypatch, packing=packing)
    official = FSDD(samples=50, valid=10).load(tmp_path)
    check(official, 10)
    assert [part.size for part in official[:3]] == [30, 10, 20]
    assert official.test.y.bincount().tolist() == [2] * 10
    theo = FSDD(samples=50, valid=10, speaker="theo").load(tmp_path)
    assert [part.size for part in theo[:3]] == [20, 10, 30]
    assert FSDD(samples=50, valid=10, train=10).load(tmp_path).train.y.bincount().tolist() == [1] * 10
    pictures = FSDD(samples=512, valid=10, form="spectrogram", bands=16, frames=32).load(tmp_path)
    assert isinstance(pictures.train, Images)
    assert pictures.train.x.shape == (30, 1, 16, 32)
    assert pictures.facts["height"] == 16


def test_nothing_is_extracted_and_additions_are_noticed(tmp_path, monkeypatch):
    small(tmp_path, monkeypatch, extra=[("../../evil.wav", b"x"), ("notes.txt", b"x"), ("1_eve_0.wav", bytes(2**21))])
    assert FSDD(samples=50, valid=10).load(tmp_path).train.size == 30  # what is no recording is passed over
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["fsdd", "recordings.tar.xz"]
    (tmp_path / "fsdd" / spoken.ARCHIVE).unlink()
    (tmp_path / "fsdd").rmdir()
    small(tmp_path, monkeypatch, extra=[("1_eve_0.wav", recording(np.zeros(9)))])
    with pytest.raises(DataError, match="holds 61 recordings with SHA-256"):
        FSDD().load(tmp_path)


def test_missing_and_damaged_archives(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"put the folder `recordings` of github.com/Jakobovski.*data=tones"):
        FSDD().load(tmp_path)
    small(tmp_path, monkeypatch)
    archive = tmp_path / "fsdd" / spoken.ARCHIVE
    content = archive.read_bytes()
    for damaged in (b"", b"nothing", content[:-300], content[:400] + b"????" + content[404:]):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot be read|with SHA-256"):
            FSDD().load(tmp_path)
    with pytest.raises(ConfigError, match=r"no speaker 'eve': choose from george, .*, or null"):
        FSDD(speaker="eve").load(tmp_path)
    with pytest.raises(ConfigError, match="wave or spectrogram"):
        FSDD(form="mp3").load(tmp_path)


@real
def test_official_recordings():
    splits = FSDD().load(REAL)
    check(splits, 10)
    assert [part.size for part in splits[:3]] == [2430, 270, 300]
    assert splits.test.y.bincount().tolist() == [30] * 10
    assert splits.train.x.shape == (2430, 1, 8000)
    assert FSDD(speaker="george").load(REAL).test.size == 500
