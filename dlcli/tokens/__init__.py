"""Turn text into numbers and back: what the tokens of a text are, and which number each of them has.

characters    every character is a token
words         words, clitics (n't, 's), numbers and marks of punctuation; the white space between them is lost
subwords      byte-level byte pair encoding: frequent neighbours grow together, every text can be written
              (Sennrich, Haddow, Birch 2016, arXiv:1508.07909; Radford et al. 2019, GPT-2)
wordpieces    words, each cut into its longest known beginning and `##` pieces (Schuster, Nakajima 2012; Wu et al.
              2016, arXiv:1609.08144; Devlin et al. 2019, BERT); here they grow as subwords do

Special tokens are never found in a text: they are set beside it. `<pad>` is number 0 wherever it is there.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from dlcli import jsonfile
from dlcli.errors import ConfigError, DataError, RunError
from dlcli.text import printable
from dlcli.tokens.growing import BYTES, GOES_ON, LONGEST, cut, pieces, subword_cutter, subwords

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>", "<cls>", "<sep>", "<mask>")
LEVELS = ("characters", "words", "subwords", "wordpieces")
USUAL = 8000  # subwords or word pieces that are learned unless told how many
STATE = 2**19  # bytes of a saved vocabulary; a run.json holds up to four, and has a limit of its own
NAMED = 5  # unknown tokens that are told

CLITIC = r"n't\b|'(?:s|re|ve|ll|d|m)\b"
WORD = re.compile(rf"[^\W\d]+?(?=n't\b)|{CLITIC}|\d+(?:[.,]\d+)*|[^\W\d]+|[^\w\s]", re.IGNORECASE)
CLOSE = re.compile(rf" (?=[.,;:!?)\]}}%]|{CLITIC})|(?<=[(\[{{]) |(?<=\w) (?=-\s\w)|(?<=\w\s-) (?=\w)", re.IGNORECASE)


class Vocabulary:
    """Know every token and its number; `merges` are the pairs "a b" that subwords grew from, in order."""

    def __init__(self, tokens: Sequence[str], level: str, merges: Sequence[str] = (), lower: bool = False) -> None:
        _known(level)
        self.tokens, self.level, self.merges, self.lower = list(tokens), level, list(merges), lower
        self.table = {token: number for number, token in enumerate(self.tokens)}
        self.known: dict[str, list[str]] = {}  # words that were cut into pieces
        self.specials = [number for token, number in self.table.items() if token in SPECIAL]
        self.pad, self.unknown, self.begin, self.end, self.cls, self.sep, self.mask = map(self.table.get, SPECIAL)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        *,
        level: str,
        size: int | None = None,
        least: int = 1,
        special: Sequence[str] = (),
        lower: bool = False,
    ) -> "Vocabulary":
        """Choose the tokens of texts: at most `size` with the special ones, each found `least` times or more.

        Raises ConfigError for values that cannot be and for a vocabulary too large to be saved with a run.
        """
        _known(level)
        if (size is not None and size <= len(special)) or least < 1:
            raise ConfigError(f"size={size}, least={least}: more than {len(special)} tokens, each found once or more")
        if level == "wordpieces" and "<unk>" not in special:
            raise ConfigError("level=wordpieces needs <unk> among the special tokens")
        order = [token for token in SPECIAL if token in special]
        cased = (text.lower() for text in texts) if lower else texts
        merges: list[str] = []
        if level == "subwords":
            tokens, merges = subwords(cased, size or USUAL, least, order)
        elif level == "wordpieces":
            tokens = pieces(_counted(cased, level), (size or USUAL) - len(order), least)
        else:
            tokens = _frequent(_counted(cased, level), level, size and size - len(order), least)
        found = cls([*order, *tokens], level, merges, lower)
        if len(found.state().encode()) > STATE:
            raise ConfigError(
                f"{len(found):,} tokens take more than {STATE:,} bytes in the record of a run: set data.source.size"
            )
        return found

    @classmethod
    def read(cls, state: str) -> "Vocabulary":
        """Return the vocabulary of a saved state, which anyone may have written. Raises RunError."""
        try:
            content = state.encode()
            if len(content) > STATE:
                raise ValueError(f"more than {STATE:,} bytes")
            return cls(**_checked(jsonfile.parse(content)))
        except (ValueError, TypeError, ConfigError) as error:
            raise RunError(f"the vocabulary is damaged ({printable(error)}); the run cannot be used") from error

    def state(self) -> str:
        """Return all there is to know as one line of JSON; a dollar is escaped, as configs would expand it."""
        content = {"level": self.level, "lower": self.lower, "tokens": self.tokens, "merges": self.merges}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("$", r"\u0024")

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text. Raises DataError for what the vocabulary cannot write."""
        tokens = self._split(text.lower() if self.lower else text)
        if self.unknown is not None:
            return [self.table.get(token, self.unknown) for token in tokens]
        try:
            return [self.table[token] for token in tokens]
        except KeyError:
            raise DataError(self._refused(tokens)) from None

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text that tokens stand for; special ones are left out."""
        tokens = [self.tokens[number] for number in numbers if self.tokens[number] not in SPECIAL]
        if self.level == "characters":
            return "".join(tokens)
        if self.level == "subwords":
            return bytes(BYTES[c] for token in tokens for c in token).decode("utf-8", "replace")
        text = " ".join(tokens).replace(f" {GOES_ON}", "")
        return CLOSE.sub("", text)

    def spelled(self, number: int) -> bytes:
        """Return the bytes of text that a token stands for: a word with the space before it, nothing if special."""
        token = self.tokens[number]
        if token in SPECIAL:
            return b""
        if self.level == "subwords":
            return bytes(BYTES[c] for c in token)
        if self.level == "characters":
            return token.encode()
        return token.removeprefix(GOES_ON).encode() if token.startswith(GOES_ON) else f" {token}".encode()

    def _split(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""
        if self.level == "characters":
            return text
        if self.level == "subwords":
            return self._cutter.encode(text).tokens
        found = WORD.findall(text)
        return [piece for word in found for piece in self._pieces(word)] if self.level == "wordpieces" else found

    def _pieces(self, word: str) -> list[str]:
        """Return the pieces of a word, cut when it is first met."""
        if word not in self.known:
            self.known[word] = cut(word, self.table)
        return self.known[word]

    @cached_property
    def _cutter(self) -> Any:
        """The compiled half of subwords."""
        return subword_cutter(self.table, self.merges)

    def remarks(self, texts: Iterable[str]) -> list[str]:
        """Say what of texts is read as <unk>."""
        found = self.strange(texts)
        return [f"note: unknown to the net: {_named(found)}"] if found else []

    def strange(self, texts: Iterable[str]) -> list[str]:
        """Return the words or characters of texts that are read as <unk>, in their order, each once."""
        if self.unknown is None:
            return []
        parts = (part for text in texts for part in (text if self.level == "characters" else words(text)))
        return [part for part in dict.fromkeys(parts) if self.unknown in self.encode(part)]

    def _refused(self, tokens: Iterable[str]) -> str:
        """Say which tokens are unknown."""
        strange = [f"'{token}'" for token in sorted({token for token in tokens if token not in self.table})]
        rule = "the text that was learned from has none of them: leave them out"
        return f"unknown {self.level}: {_named(strange)}; {rule}"


def _named(strange: Sequence[str]) -> str:
    """Return the first unknown tokens, and how many more there are."""
    more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
    return ", ".join(map(printable, strange[:NAMED])) + more


def words(text: str) -> list[str]:
    """Return the words, clitics, numbers and marks of punctuation of a text, in order."""
    return WORD.findall(text)


def _known(level: Any) -> None:
    if level not in LEVELS:
        raise ConfigError(f"level={printable(level)}: choose from {', '.join(LEVELS)}")


def _counted(texts: Iterable[str], level: str) -> Counter[str]:
    """Count the characters or the words of texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text if level == "characters" else WORD.findall(text))
    return counts


def _frequent(counts: Counter[str], level: str, size: int | None, least: int) -> list[str]:
    """Return characters in the order of their codes, or words from the most frequent to the least."""
    known = (token for token, count in counts.items() if count >= least and len(token) <= LONGEST)
    kept = sorted(known, key=lambda token: (-counts[token], token))[:size]
    return sorted(kept) if level == "characters" else kept


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """Return a saved state that `Vocabulary` can use; raises ValueError with the reason."""
    if set(found) != {"level", "lower", "tokens", "merges"} or not isinstance(found["lower"], bool):
        raise ValueError("not level, lower, tokens and merges")
    level, tokens, merges = found["level"], _texts(found["tokens"]), _texts(found["merges"])
    known = set(tokens)
    if not known or len(known) != len(tokens) or "<pad>" in tokens[1:] or max(map(len, tokens)) > LONGEST:
        raise ValueError(
            f"tokens must be there, each once, of {LONGEST} characters at most, <pad> in the first place if at all"
        )
    plain = [token for token in tokens if token not in SPECIAL]
    if level == "characters" and any(len(token) != 1 for token in plain):
        raise ValueError("a character of more than one character")
    if level == "subwords" and not set("".join(plain)) <= set(BYTES):
        raise ValueError("a subword that is not made of bytes")
    pairs = [pair.split(" ") for pair in merges]
    if not all(len(pair) == 2 and {*pair, "".join(pair)} <= known for pair in pairs):
        raise ValueError("merges must be pairs of tokens whose whole is a token")
    if level == "wordpieces" and "<unk>" not in known:
        raise ValueError("word pieces without <unk>")
    return found


def _texts(found: Any) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(text, str) and text for text in found):
        raise ValueError("tokens and merges must be lists of texts")
    return found
