"""Dates as people write them, to be written as ISO 8601 does: a small translation, made by formula.

Seven forms of every day from 1900 to 2099; each pair is drawn once. The longest is "wednesday, 30 september 1987". What
attention should do is plain: the year is read last and written first.
"""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from dlcli.data.parallel import SPECIAL, Pair, Parallel
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError
from dlcli.tokens import Vocabulary

FIRST, DAYS = date(1900, 1, 1), 73049  # to the end of 2099
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SUFFIX = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


@dataclass(frozen=True, kw_only=True)
class Dates:
    """Draw `samples` different pairs; a tenth each for validation and test."""

    samples: int = 5000
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Draw the pairs; `root` is not needed."""
        if not 10 <= self.samples <= 100_000:
            raise ConfigError(f"samples={self.samples}: from 10 to 100000 pairs")
        draw, pairs = random.Random(self.split_seed), dict[str, str]()
        while len(pairs) < self.samples:
            day = FIRST + timedelta(draw.randrange(DAYS))
            pairs[draw.choice(written(day))] = day.isoformat()
        whole, held = list(pairs.items()), self.samples // 10
        parts: list[list[Pair]] = [whole[2 * held :], whole[:held], whole[held : 2 * held]]
        year = [FIRST + timedelta(number) for number in range(366)]
        target = Vocabulary.learn(
            [day.isoformat() for day in year] + ["0123456789"], level="characters", special=SPECIAL
        )
        source = Vocabulary.learn(
            ["0123456789", *(form for day in year for form in written(day))], level="characters", special=SPECIAL
        )
        return Parallel(vocabulary=target.state(), source_vocabulary=source.state()).splits(parts, root)


def written(day: date) -> list[str]:
    """Return the forms of a day."""
    month, short, number = MONTHS[day.month - 1], MONTHS[day.month - 1][:3], day.day
    ordinal = f"{number}{SUFFIX.get(number, 'th')}"
    return [
        f"{number} {month} {day.year}",
        f"{month} {number}, {day.year}",
        f"{number} {short} {day.year}",
        f"{WEEK[day.weekday()]}, {number} {month} {day.year}",
        f"{ordinal} of {month} {day.year}",
        f"{number:02}.{day.month:02}.{day.year}",
        f"{short} {ordinal}, {day.year}",
    ]
