"""Grow words out of characters, and cut words into the pieces that have grown.

Byte pair encoding: again and again, the pair of neighbours that is most frequent in the text becomes one token.
Word pieces are grown here, as the library numbers them by chance: two runs would get two vocabularies. Subwords are
grown and cut by the library `tokenizers`, which is fast and, for these, exact.
"""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from dlcli.errors import ConfigError

GOES_ON = "##"  # a word piece that does not begin a word starts so
LONGEST = 64  # characters of a token; longer words are unknown

Pair = tuple[str, str]

SHOWN = (*range(33, 127), *range(161, 173), *range(174, 256))  # bytes that stand for themselves in a subword
HIDDEN = [byte for byte in range(256) if byte not in SHOWN]
BYTES = {chr(byte): byte for byte in SHOWN} | {chr(256 + n): byte for n, byte in enumerate(HIDDEN)}


def pieces(counts: Counter[str], size: int, least: int) -> list[str]:
    """Return at most `size` pieces of words: characters first, then what grew, the most frequent pair first.

    Equal counts are settled by the alphabet.
    """
    words = [[word[0], *(GOES_ON + c for c in word[1:])] for word in sorted(counts)]
    weights = [counts[word] for word in sorted(counts)]
    single: Counter[str] = Counter()
    for symbols, weight in zip(words, weights, strict=True):
        for symbol in symbols:
            single[symbol] += weight
    frequent = sorted(single, key=lambda symbol: (-single[symbol], symbol))
    found = dict.fromkeys(sorted(symbol for symbol in frequent[:size] if single[symbol] >= least))
    for pair in _pairs(words, weights, max(least, 2)):
        if len(found) >= size:
            break
        if len(whole := _joined(pair)) <= LONGEST:
            found[whole] = None
    return list(found)


def cut(word: str, table: dict[str, int]) -> list[str]:
    """Return the pieces of a word, each the longest that is known; <unk> alone where none is."""
    found, start = [], 0
    while start < len(word) <= LONGEST:
        begin = GOES_ON if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if begin + word[start:end] in table), None)
        if end is None:
            break
        found.append(begin + word[start:end])
        start = end
    return found if start == len(word) else ["<unk>"]


def subwords(texts: Iterable[str], size: int, least: int, special: list[str]) -> tuple[list[str], list[str]]:
    """Return what grows from the bytes of texts: tokens besides the special ones, and pairs "a b" as they grew."""
    library = _library()
    cutter = _cutter(library, library.models.BPE())
    trainer = library.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=special,
        initial_alphabet=sorted(BYTES),
        max_token_length=LONGEST,
        show_progress=False,
    )
    cutter.train_from_iterator((line for text in texts for line in text.splitlines(keepends=True)), trainer)
    model = json.loads(cutter.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return [token for token in sorted(model["vocab"], key=model["vocab"].get) if token not in special], merges


def subword_cutter(table: dict[str, int], merges: Iterable[str]) -> Any:
    """Return what cuts a text into subwords. Raises ConfigError where the library is missing."""
    library = _library()
    return _cutter(library, library.models.BPE(vocab=table, merges=[tuple(pair.split(" ")) for pair in merges]))


def _pairs(words: list[list[str]], weights: list[int], least: int) -> Iterator[Pair]:
    """Yield the pair that is most frequent now, and join it in all words, until none is frequent enough."""
    counts: defaultdict[Pair, int] = defaultdict(int)
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for number, symbols in enumerate(words):
        for pair in pairwise(symbols):
            counts[pair] += weights[number]
            places[pair].add(number)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    while heap:
        count, best = heapq.heappop(heap)
        if -count != counts[best]:  # an old entry: what it was then is of no matter now
            continue
        if -count < least:
            return
        yield best
        former: dict[Pair, int] = {}
        for number in sorted(places.pop(best)):
            symbols = words[number]
            for pair in pairwise(symbols):
                former.setdefault(pair, counts[pair])
                counts[pair] -= weights[number]
            words[number] = _merged(symbols, best)
            for pair in pairwise(words[number]):
                former.setdefault(pair, counts[pair])
                counts[pair] += weights[number]
                places[pair].add(number)
        for pair, count in former.items():
            if 0 < counts[pair] != count:
                heapq.heappush(heap, (-counts[pair], pair))


def _merged(symbols: list[str], pair: Pair) -> list[str]:
    found, n = [], 0
    while n < len(symbols):
        whole = tuple(symbols[n : n + 2]) == pair
        found.append(_joined(pair) if whole else symbols[n])
        n += 2 if whole else 1
    return found


def _joined(pair: Pair) -> str:
    return pair[0] + pair[1].removeprefix(GOES_ON)


def _library() -> Any:
    """Return the library that cuts texts into subwords. Raises ConfigError where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise ConfigError(
            "level=subwords needs tokenizers, which is not installed: pip install 'dlcli[text]'; "
            "level=wordpieces needs nothing"
        ) from error
    return tokenizers


def _cutter(library: Any, model: Any) -> Any:
    cutter = library.Tokenizer(model)
    cutter.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return cutter
