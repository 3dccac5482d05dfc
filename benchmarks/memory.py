"""Peak resident memory of `dl train model=lenet data=mnist epochs=1` against a hand-written script that does the same.

Each runs in a process of its own whose largest resident set the system reports (POSIX only). This process imports
nothing heavy: a child begins with its parent's peak. The second ratio leaves out what the interpreter with torch takes
in any case; the third gives the script the libraries that `dl` uses for logs, figures, metrics and configs.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from importlib import import_module

import common

LIBRARIES = "torch.utils.tensorboard matplotlib.pyplot sklearn.metrics hydra rich.progress safetensors.torch typer"


def main() -> None:
    """Compare peaks, or, in a child process, train by hand."""
    given = common.options(__doc__, one="train by hand, so many steps", libraries="import these modules before")
    if given.one:
        for name in (given.libraries or "").split():
            import_module(name)
        by_hand(int(given.one), given.threads)
        return
    if common.data_name() != "mnist":
        sys.exit(f"the files of MNIST are missing in {common.data_root()}: put them there, or set DL_DATA")
    steps = 20 if given.quick else 782  # 50,000 pictures in batches of 64
    script = [sys.executable, __file__, "--threads", str(given.threads), "--one", str(steps)]
    acts = [
        partial(command, steps, given.threads),
        partial(peak, script),
        partial(peak, [*script, "--libraries", LIBRARIES]),
        partial(peak, [sys.executable, "-c", "import torch"]),
    ]
    found = common.in_turn(acts, 1 if given.quick else 3)
    common.show(list(rows(*found)), given)


def rows(dl: list[float], script: list[float], libraries: list[float], torch: list[float]) -> list[list[str]]:
    """Return the three comparisons; all values in MiB."""

    def row(what: str, ours: list[float], peer: list[float]) -> list[str]:
        middle = [sorted(values)[len(values) // 2] for values in (ours, peer)]
        return [what, *(f"{value:.0f} MiB" for value in middle), f"{common.ratio(ours, peer):.2f}", ""]

    def above(values: list[float]) -> list[float]:
        return [value - floor for value, floor in zip(values, torch, strict=True)]

    found = [row("whole process", dl, script), row("above python with torch", above(dl), above(script))]
    found.append(row("whole process, script imports the same libraries", dl, libraries))
    found[1][-1] = f"python with torch: {sorted(torch)[len(torch) // 2]:.0f} MiB"
    return found


def command(steps: int, threads: int) -> float:
    """Return the peak of `dl train`, in MiB."""
    with tempfile.TemporaryDirectory() as outputs:
        words = ["model=lenet", "data=mnist", "epochs=1", f"max_steps={steps}", f"paths.outputs={outputs}"]
        return peak([sys.executable, "-m", "dlcli", "train", *words, "device=cpu", f"device.threads={threads}"])


def peak(words: list[str]) -> float:
    """Run a command; return the largest resident set of its process, in MiB."""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(words, stdout=printed, stderr=printed)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            printed.seek(0)
            sys.exit(f"{' '.join(words)}\nended with {process.returncode}:\n{printed.read().decode()}")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere


def by_hand(steps: int, threads: int) -> None:
    """Train LeNet-5 on 50,000 pictures and count the hits among 10,000 others."""
    import hand
    import torch

    torch.set_num_threads(threads)
    x, y = files()
    net, loss = hand.lenet(torch.tensor(0.1305), torch.tensor(0.3080))
    hand.train(net, loss, x[:-10000], y[:-10000], steps=steps, order=lambda epoch: torch.randperm(len(x) - 10000))
    with torch.no_grad():
        parts = zip(x[-10000:].split(500), y[-10000:].split(500), strict=True)
        print(sum((net((a.float() / 255 - 0.1305) / 0.3080).argmax(1) == b).sum().item() for a, b in parts))


def files():
    """Return the training pictures and classes of MNIST."""
    import gzip

    import torch

    arrays = []
    for name, header in (("train-images-idx3-ubyte", 16), ("train-labels-idx1-ubyte", 8)):
        path = common.data_root() / "mnist" / name
        content = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())
        arrays.append(torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header))
    return arrays[0].view(-1, 1, 28, 28), arrays[1].long()


if __name__ == "__main__":
    main()
