"""A text that every Python brings along: the topics of `help()`, some 400,000 characters about the language.

Paragraphs that stand in several topics are kept once, and what is not ASCII is written in ASCII, so that 96 characters
suffice whatever the version: a line feed, and 95 that can be printed.
"""

import random
import string
from dataclasses import dataclass
from pathlib import Path

import torch

from dlcli.batch import IGNORED, Tokens
from dlcli.data.facts import class_facts, token_facts
from dlcli.data.labelled import Divided
from dlcli.data.running import Running
from dlcli.data.splits import Splits, divide
from dlcli.errors import ConfigError
from dlcli.tokens import WORD, Vocabulary

PRINTED = "\n " + string.digits + string.ascii_letters + string.punctuation
LONG = ("specialnames", "compound", "types", "formatstrings", "string-methods", "typesseq", "debugger", "typesmapping")
PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"})
SHORT = 80  # characters of a paragraph that may stand in several topics


@dataclass(frozen=True, kw_only=True)
class Topics(Running):
    """Load the topics as running text, in an order drawn by `split_seed`."""

    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Cut the text; `root` is not needed."""
        return self.cut(prose(self.split_seed), root, alphabet=PRINTED)


@dataclass(frozen=True, kw_only=True)
class Passages(Divided):
    """Load passages of `words` words each from the eight longest topics; the class is the topic."""

    words: int = 20

    def load(self, root: Path) -> Splits:
        """Cut the topics; `root` is not needed."""
        if self.words < 1:
            raise ConfigError(f"words={self.words}: a passage has one word or more")
        whole = topics()
        found = [(passage, c) for c, name in enumerate(LONG) for passage in passages(whole[name], self.words)]
        texts, y = [passage for passage, _ in found], torch.tensor([c for _, c in found])
        return self.divided(texts, y, LONG, root)


@dataclass(frozen=True, kw_only=True)
class Capitals:
    """Load lower-cased text, `context` characters at a time; the answer to each letter is whether it was a capital."""

    context: int = 64
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Cut the text and draw the splits; `root` is not needed."""
        if self.context < 1:
            raise ConfigError(f"context={self.context}: one character or more")
        text = prose(self.split_seed)
        text = text[: len(text) // self.context * self.context]
        vocabulary = Vocabulary.learn([PRINTED], level="characters", special=("<pad>",), lower=True)
        x = torch.tensor(vocabulary.encode(text.lower()), dtype=torch.int32).view(-1, self.context)
        answers = [int(c.isupper()) if c.isalpha() else IGNORED for c in text]
        y = torch.tensor(answers, dtype=torch.int32).view(-1, self.context)
        rows = torch.arange(len(x))
        parts = divide(Tokens(rows, torch.zeros(len(x), dtype=torch.long)), 0.1, 0.1, self.split_seed)
        train, valid, test = (Tokens(x[part.x], y[part.x]) for part in parts)
        facts = token_facts(vocabulary, self.context) | class_facts(["small", "capital"])
        del facts["labels"]  # one sigmoid for a whole text is no answer to each of its letters
        facts["each"] = True
        return Splits(train, valid, test, facts)


def topics() -> dict[str, str]:
    """Return the topics by name, in ASCII, the long ones first; each paragraph stands in one of them."""
    from pydoc_data.topics import topics as found  # half a megabyte

    seen: set[str] = set()
    kept = {}
    for name in (*LONG, *sorted(set(found) - set(LONG))):
        paragraphs = []
        for paragraph in found[name].translate(PLAIN).encode("ascii", "ignore").decode().split("\n\n"):
            if len(paragraph) < SHORT or paragraph.strip("\n") not in seen:
                paragraphs.append(paragraph)
                seen.add(paragraph.strip("\n"))
        kept[name] = "\n\n".join(paragraphs).strip("\n")
    return {name: text for name, text in kept.items() if text}


def prose(seed: int) -> str:
    """Return all topics, one behind the other."""
    texts = list(topics().values())
    random.Random(seed).shuffle(texts)
    return "\n\n\n".join(texts) + "\n"


def passages(text: str, count: int) -> list[str]:
    """Return passages of `count` words; what remains at the end is left out."""
    places = [match.span() for match in WORD.finditer(text)]
    firsts = range(0, len(places) - count + 1, count)
    return [text[places[first][0] : places[first + count - 1][1]] for first in firsts]
