"""`dl attack RUN pairs=FILE`: pairs that an attack left, verified anew and shown to a run, its victim or another."""

from pathlib import Path
from typing import Any

from torch import Tensor

from dlcli.attacks.outcome import outcome
from dlcli.attacks.verify import verify
from dlcli.attacks.victim import fingerprint
from dlcli.engine import checkpoint
from dlcli.errors import CheckpointError, ConfigError, DataError
from dlcli.run import Run
from dlcli.verbs.common import pick_device
from dlcli.verbs.victim import classifier, read_all

NORMS = ("linf", "l2", "l1", "l0", "none")


def again(run: Run, config: dict[str, Any]) -> dict[str, Any]:
    """Verify a file of pairs, print what the run makes of them, and return it. Raises DlError."""
    tensors, threat = pairs(config["pairs"])
    device = pick_device(config["device"]).device
    victim = classifier(run, config, device)
    facts = run.record["config"]["data"]
    mine = tuple(facts[side] for side in ("channels", "height", "width"))
    if mine != (shape := tuple(tensors["clean"].shape[1:])):
        raise ConfigError(f"pairs={config['pairs']}: pictures of shape {shape}, and {run} sees {mine}; take its own")
    bound = float("inf") if threat["eps"] is None else threat["eps"]
    verdict = verify(tensors["clean"], tensors["adversarial"], eps=bound, norm=threat["norm"])
    before, after = (read_all(victim, tensors[name], config, device) for name in ("clean", "adversarial"))
    found = outcome(before, after, tensors["labels"], tensors.get("target"))
    same = threat["model"] == fingerprint(victim)
    print(f"{run}: {verdict.examples} pairs of {config['pairs']}, {threat['norm']} at most {bound:g}; verified")
    print(f"  shown to {'the weights that they were made for' if same else 'other weights than they were made for'}")
    for key in ("clean_accuracy", "robust_accuracy", "success_rate"):
        print(f"  {key.replace('_', ' '):18} {100 * found[key]:.2f} %")
    return {"same_weights": same, "largest": verdict.largest, "threat": threat, **found}


def pairs(name: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file of pairs and the threat model that stands in it. Raises DataError."""
    cure = "name a file attacks/NAME.safetensors of a run that was attacked"
    try:
        tensors, threat = checkpoint.read(Path(str(name)))
        clean, labels = tensors["clean"], tensors["labels"]
        sizes = {clean.shape[:1], labels.shape, *(tensors[key].shape for key in ("target",) if key in tensors)}
        whole = clean.ndim == 4 and clean.shape == tensors["adversarial"].shape and len(sizes) == 1
        number = threat["eps"] is None or (isinstance(threat["eps"], (int, float)) and threat["eps"] >= 0)
        if not whole or not number or threat["norm"] not in NORMS or not isinstance(threat["model"], str):
            raise DataError(f"pairs={name}: damaged (its parts do not fit together); {cure}")
    except OSError as error:
        raise DataError(f"pairs={name}: cannot be read ({error.strerror}); {cure}") from error
    except (CheckpointError, KeyError) as error:
        raise DataError(f"pairs={name}: damaged, or no pairs ({error.__cause__ or error}); {cure}") from error
    return tensors, threat
