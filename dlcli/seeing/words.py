"""Which words speak for the answer.

    influence of word t = e_t . d z_c / d e_t        gradient times input: Denil et al. 2014 (arXiv:1412.6815)

e_t (D,) vector of the word, z_c logit of the class that the model names. In a net that sums its words and has no hidden
layer the influences and the bias add up to the logit. Where the net pools by attention, the share of each word is drawn
below.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlcli.figures import lines
from dlcli.seeing.heads import attention
from dlcli.seeing.scene import Scene, answers, shown, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def influence(model: nn.Module, x: Tensor, classes: Tensor) -> Tensor | None:
    """Return how much each token (B, T) speaks for classes (B,); None where the net embeds no tokens."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    found: list[Tensor] = []
    if not tables:
        return None

    def note(module: Any, given: Any, vectors: Tensor) -> Tensor:
        found.append(vectors.detach().requires_grad_())
        return found[-1]

    handle = tables[0].register_forward_hook(note)
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # whose recurrent nets must be in training
            score = answers(model(x)).gather(1, classes[:, None]).sum()
            return (slope(score, found[0]) * found[0]).sum(-1).detach()
    finally:
        handle.remove()


def draw(scene: Scene) -> "Figure | None":
    """Draw texts with each word in the colour of its influence and, below, of the attention that it gets."""
    x = scene.batch.x
    speaking = influence(scene.model, x, scene.guess)
    if speaking is None:
        return None
    pooled = [weights for weights in attention(scene.model, x) if weights.ndim == 2]
    rows: list[tuple[str, Sequence[str], Tensor]] = []
    for row, caption in enumerate(scene.captions):
        words = shown(scene, row)
        own = speaking[row, : len(words)].cpu()
        rows.append((caption.replace("\n", " "), words, own / own.abs().max().clamp(min=1e-12)))
        if pooled:
            share = pooled[0][row, -x.shape[1] :][: len(words)].cpu()
            rows.append(("attention", words, share / share.max().clamp(min=1e-12)))
    return lines("words that speak for the answer (red) and against it (blue)", rows)
