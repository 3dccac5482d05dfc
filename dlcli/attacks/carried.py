"""Signs that pictures which were made with other nets say little about the one that they are shown to.

A transfer is the weaker attack: where it wins more than the same attack on the net itself, the net hides its gradients
(Athalye et al. 2018, arXiv:1802.00420, section 3.1; Carlini et al. 2019, arXiv:1902.06705). What leads the attack, and
so must have gradients, are the other nets; what is judged, and so must answer alike each time, is the net itself.
"""

from dataclasses import replace

import torch
from torch import Tensor

from dlcli.attacks.checks import CERTAIN, DRAWS, Check, logits_not_shares, repeats, slopes, static
from dlcli.attacks.noise import Noise
from dlcli.attacks.objective import Classifier, margin, read
from dlcli.attacks.shared import Learned
from dlcli.attacks.threat import Attack


def transferred(
    victim: Classifier,
    source: Classifier,
    x: Tensor,
    y: Tensor,
    index: Tensor,
    attack: Attack,
    x_adv: Tensor,
    twin: Classifier | None = None,
) -> list[Check]:
    """Check pictures `x_adv` of `x` that an attack made with a source; a batch of some hundred examples is enough.

    A twin is a classifier like the victim without the defence, which is shown the same pictures.
    """
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        x, y, index = x.float(), y.to(x.device), index.to(x.device)
        logits = read(source, x)
        target, aim = attack.targets(logits, y, index), attack.targets(read(victim, x), y, index)
        x_adv = x_adv.to(x)
        here = wins(victim, x_adv, y, target)
        found = [slopes(source, x, y), logits_not_shares(logits), repeats(victim, x), static(victim, x)]
        if twin is not None:
            found.append(wins_there(wins(twin, x_adv, y, target), here, len(x)))
        if attack.norm in ("linf", "l2", "l1") and attack.bound < float("inf"):
            noise = Noise(norm=attack.norm, eps=attack.bound, target=attack.target, seed=attack.seed, draws=DRAWS)
            found.append(beats_noise(wins(victim, noise(victim, x, y, index), y, aim), here, len(x)))
        if not isinstance(attack, Learned):  # which would have to learn anew
            own = replace(attack, stop=True)(victim, x, y, index)
            found.append(direct(wins(victim, own, y, aim), here, len(x)))
    return found


def wins(classifier: Classifier, x_adv: Tensor, y: Tensor, target: Tensor | None) -> int:
    """Return how many pictures a classifier sees as the target, or as any wrong class."""
    return int((margin(read(classifier, x_adv), y, target) < 0).sum())


def direct(own: int, here: int, count: int) -> Check:
    """The same attack on the net itself wins no fewer: what follows another's gradients knows less."""
    return Check("direct", own >= here, f"aimed at the net itself it wins {own} of {count}, through others {here}")


def beats_noise(noise: int, here: int, count: int) -> Check:
    """Noise of the same size wins no more: else nothing of the pictures has gone over."""
    return Check("noise", noise <= here, f"{DRAWS} draws of noise win {noise} of {count}, the pictures {here}")


def wins_there(there: int, here: int, count: int) -> Check:
    """The same pictures win more of a net without the defence, or all."""
    said = f"the pictures win {there} of the undefended twin's {count}, {here} here"
    return Check("twin", there > here or there >= CERTAIN * count, said)
