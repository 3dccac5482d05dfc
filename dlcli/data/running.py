"""Running text for language models: tiny Shakespeare, and texts of the user's own.

The text is cut where it is, without shuffling: training first, then validation, then test. With `test=0` the validation
part is the test as well: so nanoGPT counts on tiny Shakespeare (the last tenth; Karpathy 2015, 2022). Characters are
learned from the whole text, as an alphabet is no secret; words and pieces of them from the training part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dlcli.data.facts import token_facts
from dlcli.data.files import locate, verified
from dlcli.data.prose import Prose
from dlcli.data.reader import gathered, text
from dlcli.data.splits import Splits
from dlcli.data.wording import Wording, numbered
from dlcli.errors import ConfigError, DataError
from dlcli.tokens import Vocabulary

SHAKESPEARE = (1_115_394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed")  # bytes, SHA-256
HOME = "github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare"


@dataclass(frozen=True, kw_only=True)
class Running(Wording):
    """Serve a text through windows of `context` tokens, shuffled or carried on from batch to batch."""

    level: Literal["characters", "words", "subwords", "wordpieces"] = "characters"
    context: int = 64
    order: Literal["shuffled", "carried"] = "shuffled"
    valid: int | float = 0.05
    test: int | float = 0.05

    def cut(self, whole: str, root: Path, notes: Sequence[str] = (), alphabet: str = "") -> Splits:
        """Cut a text, learn its tokens (and those of `alphabet`), and return the three parts."""
        if self.order not in ("shuffled", "carried") or self.context < 1:
            raise ConfigError(f"order={self.order!r}, context={self.context}: shuffled or carried, one token or more")
        texts = parts(whole, self.valid, self.test)
        vocabulary = self._vocabulary(whole, texts[0], alphabet, root)
        rows = (numbered(vocabulary, part) for part in texts)
        train, valid, test = (Prose(tokens=row, context=self.context, order=self.order) for row in rows)
        return Splits(train, valid, test, token_facts(vocabulary, self.context) | {"notes": list(notes)})

    def _vocabulary(self, whole: str, train: str, alphabet: str, root: Path) -> Vocabulary:
        if self.level == "characters" and self.size is None and self.least == 1:
            return self.learned([whole, alphabet], (), root)
        return self.learned([train], ("<unk>",), root)


@dataclass(frozen=True, kw_only=True)
class Shakespeare(Running):
    """Load tiny Shakespeare, 1,115,394 characters of 65 kinds."""

    folder: str = "tinyshakespeare"

    def load(self, root: Path) -> Splits:
        """Check and cut; raise DataError for a file that is absent or another one."""
        return self.cut(shakespeare(root / self.folder), root)


@dataclass(frozen=True, kw_only=True)
class TextFiles(Running):
    """Load a text file of the user's, or all `*.txt` below a folder, one behind the other."""

    path: str

    def load(self, root: Path) -> Splits:
        """Read and cut; raise DataError for what is no text in UTF-8."""
        notes: list[str] = []
        place = Path(self.path).expanduser()
        folder = place.is_dir() or (root / self.path).is_dir()
        return self.cut(gathered(locate(self.path, root, folder=folder), notes), root, notes)


def shakespeare(folder: Path) -> str:
    """Return the text of tiny Shakespeare. Raises DataError."""
    path = folder / "input.txt"
    if not path.is_file():
        raise DataError(
            f"no {path}: put input.txt of {HOME} there, or name the folder above with paths.data=DIR or DL_DATA=DIR; "
            "meanwhile data=topics needs no files"
        )
    return text(verified(path, *SHAKESPEARE), str(path), [])


def parts(whole: str, valid: int | float, test: int | float) -> tuple[str, str, str]:
    """Cut a text into (train, valid, test) by shares or counts of characters; no test part: the validation part."""
    counts = [math.ceil(held * len(whole)) if isinstance(held, float) else held for held in (valid, test)]
    end = len(whole) - sum(counts)
    if min(counts) < 0 or counts[0] == 0 or end <= 0:
        raise DataError(
            f"cannot hold out {valid} and {test} of {len(whole):,} characters: give shares below 1.0 or counts that "
            "leave some for training (data.source.valid, data.source.test; test=0 takes the validation part)"
        )
    middle = end + counts[0]
    return whole[:end], whole[end:middle], whole[middle:] or whole[end:middle]
