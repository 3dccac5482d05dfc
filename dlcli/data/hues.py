"""Names of colours, as some 200,000 people gave them in a survey: 940 of them come with matplotlib (Munroe 2010).

The class of a name is the hue of its colour: red, orange, yellow, green, teal, blue, purple or pink by the angle on the
colour circle, brown for dark orange, grey for what has hardly any colour. Crude names are left out.
"""

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from dlcli.data.labelled import Divided
from dlcli.data.splits import Splits

HUES = ("blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "teal", "yellow")
CIRCLE = ((15, "red"), (45, "orange"), (70, "yellow"), (160, "green"), (195, "teal"), (255, "blue"), (300, "purple"),
          (345, "pink"), (360, "red"))  # degrees at which a hue ends  # fmt: skip
DULL, DARK = 0.2, 0.75  # saturation, or brightness, below which a colour is grey; brightness of the darkest orange
CRUDE = ("shit", "piss", "poo", "puke", "vomit", "barf", "snot", "booger", "diarrhea")


@dataclass(frozen=True, kw_only=True)
class Hues(Divided):
    """Load the names of colours; the class is the hue."""

    level: Literal["characters", "words", "subwords", "wordpieces"] = "characters"

    def load(self, root: Path) -> Splits:
        """Cut the names; `root` is not needed."""
        from matplotlib.colors import XKCD_COLORS, to_rgb

        named = {name.removeprefix("xkcd:"): hue(*to_rgb(colour)) for name, colour in sorted(XKCD_COLORS.items())}
        texts = [name for name in named if not any(word in name for word in CRUDE)]
        return self.divided(texts, torch.tensor([HUES.index(named[name]) for name in texts]), HUES, root)


def hue(red: float, green: float, blue: float) -> str:
    """Return what kind of colour shares of red, green and blue make."""
    angle, saturation, brightness = colorsys.rgb_to_hsv(red, green, blue)
    if min(saturation, brightness) < DULL:
        return "grey"
    found = next(name for end, name in CIRCLE if 360 * angle <= end)
    return "brown" if found == "orange" and brightness <= DARK else found
