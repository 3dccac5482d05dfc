"""What an attack achieved, in numbers that cannot flatter it or the net.

An example counts as attacked only if the net was right about it and, in a targeted attack, the target is another class:
the others are skipped, never successes.
"""

from torch import Tensor

from dlcli.errors import DataError


def outcome(
    clean_logits: Tensor, adversarial_logits: Tensor, y: Tensor, target: Tensor | None = None
) -> dict[str, float]:
    """Return accuracies, success rate and counts from logits (B, C), classes y (B,) and targets (B,).

    clean_accuracy     share of all examples that the net gets right
    robust_accuracy    share of all examples that it gets right before and after the attack
    success_rate       share of the attacked examples that went wrong, or to the target; 0 if none was attacked
    attacked, skipped  how many examples were, and were not, the attack's to win
    """
    if not len(y):
        raise DataError("no example to attack; the split is empty, or n=0")
    before, after = clean_logits.argmax(1), adversarial_logits.argmax(1)
    right = before == y
    attacked = right if target is None else right & (target != y)
    won = attacked & ((after != y) if target is None else (after == target))
    return {
        "clean_accuracy": right.float().mean().item(),
        "robust_accuracy": (right & (after == y)).float().mean().item(),
        "success_rate": won.sum().item() / max(int(attacked.sum()), 1),
        "attacked": int(attacked.sum()),
        "skipped": int((~attacked).sum()),
    }
