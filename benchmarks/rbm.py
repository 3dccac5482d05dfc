"""An RBM of 500 hidden units learns MNIST by CD-1: `dl` against scikit-learn's BernoulliRBM and CD-1 in numpy.

A block is one epoch of a new machine in batches of 100, with one rate for all. Afterwards the machines are judged by
one pseudo-likelihood, that of `dl`, on pictures that none of them saw. scikit-learn learns by persistent chains, it has
nothing else: its rate is that of the others, its rule is not. numpy and scikit-learn compute in the type of their data;
`dl` also in bf16, which is worth it on a CPU that has such products, and in which only the products are rounded.
"""

import statistics
from typing import Any

import common

HIDDEN, BATCH, RATE = 500, 100, 0.1


def main() -> None:
    """Print the seconds of an epoch, their ratios, and the pseudo-likelihood that each side has reached by then."""
    given = common.options(__doc__)
    import torch

    torch.set_num_threads(given.threads)
    data = common.data_name(given.quick)
    mine, half = Ours(data), Ours(data, "precision=bf16")
    x = mine.made.splits.train.x.flatten(1).float().div(255)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))].numpy()  # the files may be sorted
    sides = [mine, half, *(Peer(x.astype(kind)) for Peer in (Numpy, Sklearn) for kind in ("float32", "float64"))]
    blocks = common.in_turn([side.epoch for side in sides], 1 if given.quick else 5)
    valid = mine.made.splits.valid.x[:2000].flatten(1).float().div(255)
    reached = [judged(side.net(), valid) for side in sides]
    rows = []
    for k, side in enumerate(sides[:2]):
        speed = f"{len(x) / statistics.median(blocks[k]):,.0f} examples/s, pseudo-likelihood {reached[k]:.1f}"
        for peer, found, value in zip(sides[2:], blocks[2:], reached[2:], strict=True):
            met = common.verdict(common.ratio(blocks[k], found) <= 0.5)
            what = f"{data}, one epoch, {side.name}: {peer.name}"
            rows.append(common.compare(what, blocks[k], found, f"{speed} against {value:.1f}; aim 0.5 {met}"))
    common.show(rows, given)


class Ours:
    """The engine of `dl` with model=rbm."""

    def __init__(self, data: str, *more: str):
        import ours

        self.name = more[0].partition("=")[2] if more else "fp32"
        words = ("optimizer=sgd", f"optimizer.lr={RATE}", "schedule=constant", f"batch={BATCH}", "model.steps=1")
        self.made = ours.setup("rbm", data, *words, "model.visible_samples=false", f"model.net.hidden={HIDDEN}", *more)

    def epoch(self) -> float:
        """Learn from every example once; return the seconds."""
        import ours

        self.engine = ours.fresh(self.made)
        return common.timed(lambda: ours.learn(self.engine, self.made.train, len(self.made.train)))

    def net(self) -> Any:
        """Return the machine."""
        return self.engine.model.net


class Peer:
    """A side in numpy; x (N, V) in its own type of numbers."""

    def __init__(self, x: Any):
        self.x = x
        self.name = f"{type(self).__name__.lower()}, {x.dtype}"

    def learn(self) -> tuple[Any, Any, Any]:
        """Learn from every example once; return W (H, V), b (V,) and c (H,)."""
        raise NotImplementedError

    def epoch(self) -> float:
        """Learn from every example once; return the seconds."""
        return common.timed(lambda: setattr(self, "weights", self.learn()))

    def net(self) -> Any:
        """Return the machine as one of ours."""
        import torch

        from dlcli.nets.rbm import RBM

        net = RBM(visible=self.x.shape[1], hidden=HIDDEN)
        with torch.no_grad():
            for mine, theirs in zip((net.weight, net.visible_bias, net.hidden_bias), self.weights, strict=True):
                mine.copy_(torch.from_numpy(theirs))
        return net


class Numpy(Peer):
    """CD-1 as one writes it by hand, with the start and the rules of ours."""

    def learn(self) -> tuple[Any, Any, Any]:
        import numpy as np
        from scipy.special import expit

        kind, random = self.x.dtype, np.random.default_rng(0)
        w = (0.01 * random.standard_normal((HIDDEN, self.x.shape[1]))).astype(kind)
        share = (self.x[:BATCH].sum(0) + 0.5) / (BATCH + 1)
        b, c = np.log(share / (1 - share)).astype(kind), np.zeros(HIDDEN, kind)
        order = random.permutation(len(self.x))
        for first in range(0, len(self.x), BATCH):
            v = self.x[order[first : first + BATCH]]
            h = expit(v @ w.T + c)
            back = expit((random.random(h.shape, dtype=kind) < h).astype(kind) @ w + b)
            last = expit(back @ w.T + c)
            rate = kind.type(RATE / len(v))
            w += rate * (h.T @ v - last.T @ back)
            b += rate * (v - back).sum(0)
            c += rate * (h - last).sum(0)
        return w, b, c


class Sklearn(Peer):
    """`sklearn.neural_network.BernoulliRBM`, which learns by persistent chains."""

    def learn(self) -> tuple[Any, Any, Any]:
        from sklearn.neural_network import BernoulliRBM

        machine = BernoulliRBM(HIDDEN, learning_rate=RATE, batch_size=BATCH, n_iter=1, random_state=0).fit(self.x)
        return machine.components_, machine.intercept_visible_, machine.intercept_hidden_


def judged(net: Any, x: Any) -> float:
    """Return the mean pseudo-likelihood of pictures (N, V), each by 16 of its pixels."""
    import torch

    from dlcli.models.contrastive import ContrastiveDivergence

    torch.manual_seed(0)
    with torch.no_grad():
        return ContrastiveDivergence(net=net).pseudo_likelihood(x.round(), 16).mean().item()


if __name__ == "__main__":
    main()
