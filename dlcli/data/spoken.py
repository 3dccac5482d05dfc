"""Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, 8 kHz, 16 bits, one channel.

A file is called DIGIT_SPEAKER_INDEX.wav; index 0 to 4 are the official test split. All recordings are brought to one
length T: what is shorter gets silence, what is longer is cut, on both sides alike. As pictures they are log-mel
spectrograms (`spectrogram`). Jackson et al., github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.
"""

import hashlib
import io
import re
import tarfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dlcli.batch import Images, Signals
from dlcli.data.facts import class_facts, image_facts, signal_facts
from dlcli.data.spectrogram import Spectrogram
from dlcli.data.splits import Splits, few, hold_out, pick
from dlcli.errors import ConfigError, DataError

HOME = "github.com/Jakobovski/free-spoken-digit-dataset"
ARCHIVE, INSIDE = "recordings.tar.xz", "recordings"
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
SHA256 = "6b1a8e30f4df78a933fe25cf1ca0140c8c6f169c0a83649a15b70a5ae7407014"  # of names and contents in order
LARGEST = 2**20  # bytes; no recording comes near it
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RATE, TESTED = 8000, 5


@dataclass(frozen=True, kw_only=True)
class FSDD:
    """Load waves (N, 1, samples), or spectrograms as pictures (N, 1, bands, frames).

    With `speaker`, the test split is everything that this one says, whom training and validation never hear. `train`
    keeps so many labelled training recordings, as many of each digit; None keeps all.
    """

    folder: str = "fsdd"
    form: Literal["wave", "spectrogram"] = "wave"
    samples: int = 8000
    bands: int = 64
    frames: int = 64
    speaker: str | None = None
    valid: int | float = 0.1
    train: int | None = None
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read, check and cut; raise DataError for recordings that are absent or other ones."""
        if self.form not in ("wave", "spectrogram") or self.samples < 1:
            raise ConfigError(f"form={self.form!r}, samples={self.samples}: wave or spectrogram, of one sample or more")
        if self.speaker is not None and self.speaker not in SPEAKERS:
            raise ConfigError(f"no speaker {self.speaker!r}: choose from {', '.join(SPEAKERS)}, or null")
        whole, tested = self._read(root / self.folder)
        known, test = (pick(whole, chosen.nonzero().flatten()) for chosen in (~tested, tested))
        rest, held = hold_out(known.y, self.valid, self.split_seed)
        train = pick(known, rest[few(known.y[rest], self.train, self.split_seed)])
        facts = image_facts(train.x) if isinstance(train, Images) else signal_facts(train.x)
        return Splits(train, pick(known, held), test, facts | class_facts([str(digit) for digit in range(10)]))

    def _read(self, folder: Path) -> tuple[Any, Tensor]:
        """Return all recordings, and which of them (N,) belong to the test."""
        contents = dict(sorted(_contents(folder)))
        digest = hashlib.sha256()
        for name, content in contents.items():
            digest.update(name.encode() + b"\0" + content)
        if digest.hexdigest() != SHA256:
            raise DataError(
                f"{folder} holds {len(contents)} recordings with SHA-256 {digest.hexdigest()}, "
                f"not the 3000 with {SHA256}: it is damaged, or another version of the set; fetch it anew"
            )
        parts = [match.groups() for name in contents if (match := NAME.fullmatch(name))]
        y = torch.tensor([int(digit) for digit, _, _ in parts])
        if self.speaker:
            tested = torch.tensor([speaker == self.speaker for _, speaker, _ in parts])
        else:
            tested = torch.tensor([int(index) < TESTED for _, _, index in parts])
        x = torch.stack([fitted(samples(content, name), self.samples) for name, content in contents.items()])
        if self.form == "wave":
            return Signals(x[:, None], y), tested
        return Images(Spectrogram(rate=RATE, bands=self.bands, frames=self.frames)(x)[:, None], y), tested


def samples(content: bytes, name: str) -> Tensor:
    """Return a 16-bit recording of one channel as numbers in [-1, 1), (T,). Raises DataError."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            frames = bytearray(file.readframes(file.getnframes()))
    except (wave.Error, EOFError) as error:
        raise DataError(f"{name} is no WAV file: {error}; fetch it anew") from error
    if form != (1, 2, RATE) or not frames or len(frames) % 2:
        found = f"{form[0]} channels of {8 * form[1]} bits at {form[2]} Hz"
        raise DataError(f"{name} has {found}: one channel of 16 bits at {RATE} Hz is read")
    return torch.frombuffer(frames, dtype=torch.int16).float() / 2**15


def fitted(signal: Tensor, length: int) -> Tensor:
    """Bring a signal (T,) to a length: silence on both sides, or the middle of it."""
    first = (length - len(signal)) // 2
    if first >= 0:
        return torch.nn.functional.pad(signal, (first, length - len(signal) - first))
    return signal[-first : -first + length]


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents, from the unpacked folder or from the archive; nothing is extracted."""
    unpacked, archive = folder / INSIDE, folder / ARCHIVE
    if unpacked.is_dir():
        for path in unpacked.iterdir():
            if NAME.fullmatch(path.name) and path.is_file() and path.stat().st_size <= LARGEST:
                yield path.name, path.read_bytes()
        return
    if not archive.is_file():
        raise DataError(
            f"no {unpacked} and no {archive}: put the folder `recordings` of {HOME} there, "
            "or name the folder above with paths.data=DIR or DL_DATA=DIR; meanwhile data=tones needs no files"
        )
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                file = tar.extractfile(member) if member.isreg() and NAME.fullmatch(name) else None
                if file and member.size <= LARGEST:
                    yield name, file.read()
    except (tarfile.TarError, LZMAError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be read: {error}; delete it") from error
