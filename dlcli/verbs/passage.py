"""`dl eval text=FILE`: what a language model makes of a text that anyone may have written."""

from pathlib import Path
from typing import Any

import torch

from dlcli.data.prose import Prose
from dlcli.data.reader import read
from dlcli.data.serving import serve
from dlcli.engine.precision import Precision
from dlcli.engine.scoring import measure
from dlcli.errors import ConfigError, DataError
from dlcli.run import Run
from dlcli.text import printable

RARE = 0.01  # share of unknown tokens from which the numbers mean little


def passage(run: Run, model: Any, config: dict[str, Any], device: torch.device) -> dict[str, float]:
    """Print and write perplexity, and bits per character and byte, of a text file; return them.

    Raises ConfigError for models that know no text, and DataError for a text that they cannot read.
    """
    path, notes = Path(config["text"]).expanduser(), list[str]()
    vocabulary = getattr(model, "vocabulary", None)
    if vocabulary is None or not hasattr(model, "longest"):
        raise ConfigError(f"text={printable(path)}: {run} holds no language model; train one with model=gpt")
    if hasattr(model, "names"):
        raise ConfigError(f"text={printable(path)}: {run} asks for the class of each text; train model=gpt on prose")
    if not path.is_file():
        raise DataError(f"text={printable(path)}: no such file")
    try:
        tokens = torch.tensor(vocabulary.encode(read(path, notes)), dtype=torch.int32)
    except DataError as error:
        raise DataError(f"text={printable(path)}: {error}") from error
    if len(tokens) < 2:
        raise DataError(f"text={printable(path)}: {len(tokens)} tokens, and at least 2 are needed: the first is given")
    unknown = (tokens == vocabulary.unknown).float().mean().item() if vocabulary.unknown is not None else 0.0
    notes += [f"note: {unknown:.1%} of the tokens are unknown to the model"] if unknown > RARE else []
    windows = serve(Prose(tokens=tokens, context=model.longest), size=config["batch"], shuffle=False, device=device)
    scores = model.score(measure(model, windows, Precision(device, "fp32"), config["seed"]))
    for line in (*notes, f"{run}: {len(tokens):,} tokens of {printable(path)}"):
        print(line)
    for name, value in scores.items():
        print(f" {name:<20} {value:.4g}")
    run.write("report-text.json", {"text": str(path), "tokens": len(tokens), "scores": scores})
    return scores
