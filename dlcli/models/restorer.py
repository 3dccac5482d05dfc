"""Restoration: undo what was done to a picture (noise, holes, grey, few pixels) with any net that keeps its shape.

    loss = sum_i (net(corruption(x))_i - x_i)^2

x (B, C, H, W). The corruption is the task: denoising, inpainting (Pathak et al. 2016), colourization (Zhang et al.
2016), super-resolution (Dong et al. 2014). An autoencoder restores too, through its code; here there is none.
"""

from collections.abc import Callable

from torch import Tensor, nn

from dlcli.models.rebuilding import Pass, Rebuilding


class Restorer(Rebuilding):
    """Learn to give back the clean picture."""

    monitor = "psnr"
    asks = "sampler=picture sampler.file=PHOTO.png"

    def __init__(
        self,
        *,
        net: nn.Module,
        corruption: Callable[[Tensor], Tensor],
        likelihood: str = "gaussian",
        output: str = "identity",
    ):
        super().__init__(corruption=corruption, likelihood=likelihood, output=output)
        self.net = net

    def through(self, x: Tensor) -> Pass:
        given = self.corrupted(x)
        output = self.net(given).float()
        return Pass(given, output, self.cost(output, x))

    def rebuild(self, x: Tensor) -> Tensor:
        return self.bound(self.net(x))

    def notes(self) -> list[str]:
        """Say what may go wrong with these values."""
        if self.corrupts:
            return []
        return [
            "nothing is corrupted, so the net can only learn the identity; choose a task, such as corruption=blocks"
        ]
