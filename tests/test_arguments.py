"""Words of a command line: forgiven slips and completion."""

import os
import subprocess
import sys

import pytest

from dlcli.arguments import assignments, forgive


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["train", "--epochs", "3"], ["train", "epochs=3"]),
        (["train", "--epochs=3", "-m"], ["train", "epochs=3", "-m"]),
        (["train", "--seed", "-1"], ["train", "seed=-1"]),
        (["train", "--optimizer.lr", "1e-3"], ["train", "optimizer.lr=1e-3"]),
        (["train", "--config-dir", "mine", "--dry-run"], ["train", "--config-dir", "mine", "--dry-run"]),
        (["train", "--nonsense"], ["train", "--nonsense"]),
        (["train", "--debug", "epochs=3"], ["train", "--debug", "epochs=3"]),
        (["ls", "--epochs", "3"], ["ls", "--epochs", "3"]),
        ([], []),
    ],
)
def test_double_dashes_are_read_as_assignments(given, read):
    words, notes = forgive(given)
    assert words == read
    assert len(notes) == (given != read)


def test_small_slips_are_mended():
    assert assignments(["resume", "epochs=3,", " seed=1 "]) == ["resume=last", "epochs=3", "seed=1"]
    assert assignments(["players.critic.lr=1"]) == ["++players.critic.lr=1"]


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        ("dl train model=va", ["model=vae", "model=vae_conv"]),
        ("dl train opt", ["optimizer="]),
        ("dl train optimizer=momentum optimizer.m", ["optimizer.momentum="]),
        ("dl attack attack=pg", ["attack=pgd", "attack=pgd_l1", "attack=pgd_l2"]),
        ("dl eval spl", ["split="]),
    ],
)
def test_completion_offers_options_and_keys(words, offers):
    environment = os.environ | {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_DL_COMPLETE": "complete_bash",
    }
    code = "import sys; sys.argv = ['dl']; from dlcli.cli import app; app(prog_name='dl')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == offers
