"""BLEU: how many runs of one to four words a translation shares with its reference (Papineni et al. 2002).

    p_n = shared runs of n words / all runs of n words of the translations      a run counts as often as in both
    BLEU = 100 min(1, exp(1 - r / c)) (p_1 p_2 p_3 p_4)^(1/4)

c words in all translations, r in all references: what is too short would be too precise. Runs are counted within
sentences and added up over all of them, so BLEU is no mean of sentences.

There are as many BLEUs as ways to cut a text into words. `bleu` takes words as they are; `sacre` is the one to compare
with papers: SacreBLEU (Post 2018, arXiv:1804.08771) cuts the text itself and signs how. chrF: Popovic 2015.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

LONGEST = 4  # words of a run


def bleu(guesses: Sequence[Sequence[Hashable]], truths: Sequence[Sequence[Hashable]]) -> float:
    """Return the BLEU of translations against one reference each, words as they are, without smoothing, in [0, 100]."""
    shared, all_runs = [0] * LONGEST, [0] * LONGEST
    for guess, truth in zip(guesses, truths, strict=True):
        for n in range(LONGEST):
            mine, theirs = runs(guess, n + 1), runs(truth, n + 1)
            shared[n] += (mine & theirs).total()
            all_runs[n] += mine.total()
    if min(shared) == 0:
        return 0.0
    precision = sum(math.log(a / b) for a, b in zip(shared, all_runs, strict=True)) / LONGEST
    written, wanted = sum(map(len, guesses)), sum(map(len, truths))
    return 100 * math.exp(precision + min(0.0, 1 - wanted / written))


def runs(words: Sequence[Hashable], length: int) -> Counter[tuple[Hashable, ...]]:
    """Return how often each run of so many words occurs."""
    return Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1))


def sacre(pairs: Sequence[tuple[str, str]], lower: bool) -> dict[str, Any]:
    """Return SacreBLEU and chrF of (translation, reference), signed; a note where the library is not installed."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        return {"note": "SacreBLEU and chrF need sacrebleu: pip install 'dlcli[text]'"}
    found: dict[str, Any] = {}
    guesses, truths = map(list, zip(*pairs, strict=True))
    for name, metric in (("sacrebleu", BLEU(lowercase=lower)), ("chrf", CHRF(lowercase=lower))):
        found[name] = metric.corpus_score(guesses, [truths]).score
        found[f"{name}_signature"] = str(metric.get_signature())
    return found
