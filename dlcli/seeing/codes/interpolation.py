"""The way from one example to another through the codes, and how far it leads from anything real.

    z(t) = (1 - t) embed(a) + t embed(b),   t in [0, 1];   a, b examples, of different classes where there are any

Where nothing was encoded a plain autoencoder has holes: what it decodes there looks like no example. The measure is
the root mean squared distance from decode(z(t)) to the nearest training example. Beside it stands that of one picture
faded into the other, (1 - t) decode(embed(a)) + t decode(embed(b)), which starts and ends at the same two pictures;
both in pixel values. A path through codes that know what pictures look like stays nearer to real ones than fading.
Shuffled codes, each number from another training example, ask the same far from all paths: they are codes of the
prior where the numbers of a code are independent, as a VAE makes them, and nonsense where they are not.
"""

from typing import Any

import torch
from torch import Tensor

from dlcli.figures import Row, curves, sheet
from dlcli.seeing.codes.scene import Codes

STRIPS, SHOWN = 5, 8  # strips that are drawn, and pictures between the two real ones
PAIRS, STEPS = 100, 9  # pairs that are measured, and places along the way
PLACES = ("ends", "1/8", "1/4", "3/8", "middle")


def walk(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Return the points of straight lines in equal steps, ends included: (P, ...) twice -> (P, steps, ...)."""
    share = torch.linspace(0, 1, steps).view(1, -1, *[1] * (first.ndim - 1))
    return torch.lerp(first[:, None], last[:, None], share)


def draw(codes: Codes) -> dict[str, Any]:
    """Draw strips from one example to another, and the distance to real examples along the way."""
    count = min(STRIPS, len(codes.x) // 2)
    between = codes.decode(walk(codes.z[0 : 2 * count : 2], codes.z[1 : 2 * count : 2], SHOWN).flatten(0, 1))
    strips = between.view(count, SHOWN, *codes.x.shape[1:])
    rows = []
    for i, strip in enumerate(strips):
        words = ["real", *(f"{k / (SHOWN - 1):.2g}" for k in range(SHOWN)), "real"] if i == 0 else []
        rows.append(Row(torch.cat([codes.x[2 * i, None], strip, codes.x[2 * i + 1, None]]), captions=words))
    random = codes.decode(shuffled(codes.known)[: 2 * PAIRS])
    rows.append(Row(random[: SHOWN + 2], label="shuffled\ncodes"))
    away = distances(codes)
    real, stray = (codes.nearest(x)[0].mean().item() for x in (codes.x[: 2 * PAIRS], random))
    share = torch.linspace(0, 1, STEPS)
    lines = {name: (share, values) for name, values in away.items()}
    folded = {name: (values + values.flip(0))[: len(PLACES)] / 2 for name, values in away.items()}
    return {
        "interpolation": sheet("decoded between the codes of two pictures", rows),
        "interpolation_distance": curves(
            "distance to the nearest training picture", "place on the way", "root mean squared", lines,
            {"real pictures": ([0, 1], [real, real])},
        ),
        "distance of real pictures": real,
        "distance of shuffled codes": stray,
        "way between pictures": {
            place: {name: values[i].item() for name, values in folded.items()} for i, place in enumerate(PLACES)
        },
    }  # fmt: skip


def shuffled(z: Tensor) -> Tensor:
    """Return codes (M, Z) whose every number is that of another example."""
    return torch.stack([column[torch.randperm(len(z))] for column in z.T], 1)


def distances(codes: Codes) -> dict[str, Tensor]:
    """Return the mean distance to the nearest training example at each place of the way, (STEPS,), and when fading."""
    pairs = min(PAIRS, len(codes.x) // 2)
    first, last = codes.z[0 : 2 * pairs : 2], codes.z[1 : 2 * pairs : 2]
    faded = walk(codes.decode(first), codes.decode(last), STEPS).flatten(0, 1)
    decoded = codes.decode(walk(first, last, STEPS).flatten(0, 1))
    found = {"through codes": decoded, "fading": faded}
    return {name: codes.nearest(x)[0].view(pairs, STEPS).mean(0) for name, x in found.items()}
