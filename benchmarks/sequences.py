"""Steps of a GPT and of an LSTM on characters: `dl` against plain loops; and writing with a cache against without one.

The GPT's loop is that of nanoGPT's train.py with its settings for a CPU (4 layers, 4 heads, width 128, context 64,
batch 12, AdamW, clipping, the cosine), around the very same net. The LSTM's loop has torch.nn.LSTM between nn.Embedding
and nn.Linear. Both loops draw their windows as nanoGPT does: one slice of the text for each row.
"""

import copy
import math
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import common
import torch
import torch.nn.functional as F
from torch import Tensor, nn

AIM, CACHED = 1.02, 1 / 5
NANO = (
    *("model.net.width=128", "model.net.depth=4", "model.net.bias=false", "model.net.positions=learned"),
    *("batch=12", "clip=1.0"),
    *("optimizer.betas=[0.9,0.99]", "optimizer.weight_decay=0.1", "schedule.warmup=0.05", "schedule.end=0.1"),
)
LSTM = ("batch=32", "clip=1.0")
WRITTEN = 512  # tokens


def main() -> None:
    """Run both sides in turn and print the table."""
    given = common.options(__doc__)
    torch.set_num_threads(given.threads)
    there = (common.data_root() / "tinyshakespeare/input.txt").exists() and not given.quick
    data = "shakespeare" if there else "topics"
    rows = [row("gpt", data, NANO, nano, given), row("rnn_lm", data, LSTM, plain, given), writing(given)]
    common.show(rows, given)


def row(family: str, data: str, words: tuple[str, ...], loop: Callable, given: Namespace) -> list[str]:
    """Return a row of the table with the verdict on the aim."""
    import ours

    made = ours.setup(family, data, *words)
    batches = 5 if given.quick else 50
    hand = loop(made.engine.model, made.train.data.tokens.long(), made.config)
    acts: list[Callable[[], float]] = [
        partial(common.timed, partial(ours.learn, made.engine, made.train, batches)),
        partial(common.timed, partial(hand, batches)),
    ]
    for act in acts:
        act()  # what the first batches cost more
    mine, other = common.in_turn(acts, 2 if given.quick else 9)
    tokens = batches * made.config["batch"] * made.config["data"]["context"]
    note = f"{tokens / min(mine):,.0f} tokens/s; aim {AIM} {common.verdict(common.ratio(mine, other) <= AIM)}"
    return common.compare(f"{family} on {data}: {batches} batches", mine, other, note)


def windows(text: Tensor, rows: int, context: int) -> tuple[Tensor, Tensor]:
    """Draw windows of a text as nanoGPT does, (B, T) each."""
    starts = torch.randint(len(text) - context, (rows,))
    x = torch.stack([text[i : i + context] for i in starts])
    y = torch.stack([text[i + 1 : i + 1 + context] for i in starts])
    return x, y


def nano(model: Any, text: Tensor, config: dict[str, Any]) -> Callable[[int], None]:
    """Return nanoGPT's loop around a copy of the net."""
    net = copy.deepcopy(model.net).train()
    matrices = [p for p in net.parameters() if p.dim() >= 2]
    vectors = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    step, rows, context = 0, config["batch"], config["data"]["context"]

    def rate(step: int, warmup: int = 100, steps: int = 2000) -> float:
        if step < warmup:
            return 1e-3 * (step + 1) / (warmup + 1)
        share = min(1.0, (step - warmup) / (steps - warmup))
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * share)) * (1e-3 - 1e-4)

    def loop(batches: int) -> None:
        nonlocal step
        for _ in range(batches):
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            x, y = windows(text, rows, context)
            logits, _ = net(x)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1), ignore_index=-1)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss.item()  # `dl` looks at every loss too: one that is no number stops it
            step += 1

    return loop


class Bare(nn.Module):
    """A language model as one writes it with torch alone."""

    def __init__(self, vocab: int, embedding: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding)
        self.lstm = nn.LSTM(embedding, width, batch_first=True)
        self.output = nn.Linear(width, vocab)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.lstm(self.embedding(x))[0])


def plain(model: Any, text: Tensor, config: dict[str, Any]) -> Callable[[int], None]:
    """Return a loop around torch's own layers."""
    sizes, rows, context = config["model"]["net"], config["batch"], config["data"]["context"]
    net = Bare(sizes["vocab"], sizes["embedding"], sizes["width"])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def loop(batches: int) -> None:
        for _ in range(batches):
            x, y = windows(text, rows, context)
            loss = F.cross_entropy(net(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            loss.item()

    return loop


def writing(given: Namespace) -> list[str]:
    """Return the row of 512 tokens written with the cache and without it."""
    from dlcli import decoding
    from dlcli.nets.gpt import GPT

    net = GPT(vocab=65, context=WRITTEN, width=128, depth=4, heads=4).eval()
    length = 32 if given.quick else WRITTEN - 1
    prompt = torch.zeros(1, 1, dtype=torch.long)

    @torch.no_grad()
    def write(cache: bool) -> None:
        for _ in decoding.generate(net, prompt, length, lambda z, seen: z.argmax(-1), WRITTEN, cache):
            pass

    acts = [partial(common.timed, partial(write, cache)) for cache in (True, False)]
    for act in acts:
        act()
    mine, other = common.in_turn(acts, 2 if given.quick else 5)
    met = common.verdict(common.ratio(mine, other) <= CACHED)
    return common.compare(f"gpt writes {length} tokens with a cache", mine, other, f"aim {CACHED} {met}")


if __name__ == "__main__":
    main()
