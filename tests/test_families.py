"""Every family, data set, option and recipe that stands in `conf/`: found there, so that none can be forgotten."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dlcli.config import catalog, paths
from dlcli.config.build import build
from dlcli.config.check import check
from dlcli.model import Model
from dlcli.run import Run
from dlcli.verbs.common import revive
from dlcli.verbs.prepare import prepare

FAMILIES = sorted(paths.options("model"))
CHANCE = {"perceptron": 0.7}
LONG = {"perceptron": 8, "mlp_multilabel": 8, "dbn_joint": 12, "distilled": 12}
SOLVED = {"pca"}  # in closed form: later epochs change nothing
SMALL_ENCODER = ("optimizer.lr=0.003", "model.net.encoder.depth=1", "model.net.encoder.width=32")
UNDER_ATTACK = ("data=digits8", "optimizer.lr=0.003")
BETTER_WHEN_HIGHER = {
    *("accuracy", "label_accuracy", "next_accuracy", "robust_accuracy", "teacher_accuracy", "precision", "recall"),
    *("f1", "auc", "r2", "dice", "iou", "psnr", "ssim", "gain", "greedy_bleu", "greedy_exact", "pseudo_likelihood"),
    *("category_read", "purity", "recognized"),
}
QUICK = {  # smaller nets for the tests alone
    "vae": ("model.encoder.widths=[64]", "model.decoder.widths=[64]", "model.importance=5"),
    "vae_conv": ("limit=0.3", "model.importance=5"),
    "beta_vae": ("limit=0.3", "model.importance=5"),
    "restoration": ("limit=0.5", "batch=16", "optimizer.lr=0.005", "model.net.net.width=8"),
    "resgan": ("limit=0.5", "limit_valid=0.3", "batch=32", "model.generator.width=8", "model.critic.width=8"),
    "cyclegan": ("limit=0.2", "limit_valid=0.3", "model.there.blocks=1", "model.there.width=4"),
    "unet": ("model.net.width=8",),
    "lenet_1998": ("limit=0.5", "optimizer.lr=0.003"),
    "cnn": ("model.net.widths=[8,16]",),
    "airbench": ("model.net.widths=[8,16,16]", "optimizer.lr=0.01"),
    "alexnet": ("model.net.scale=0.25",),
    "nin": ("model.net.scale=0.1", "model.net.dropout=0.2", "optimizer.lr=0.01"),
    "vgg": ("model.net.scale=0.1",),
    "googlenet": ("model.net.scale=0.1", "data=digits8", "optimizer.lr=0.003"),
    "xception": ("model.net.scale=0.1", "model.net.depth=1", "data=digits8"),
    "resnet": ("model.net.depth=8", "model.net.scale=0.5"),
    "text_sum": ("optimizer.lr=0.01",),
    "text_grams": ("optimizer.lr=0.01",),
    "text_concat": ("optimizer.lr=0.005",),
    "text_cnn": ("optimizer.lr=0.005", "model.net.channels=32", "model.net.dropout=0.2"),
    "text_rnn": ("optimizer.lr=0.01", "model.net.width=32", "model.net.dropout=0"),
    "text_transformer": (*SMALL_ENCODER, "model.net.dropout=0.1"),
    "set_transformer": (*SMALL_ENCODER, "model.net.dropout=0.1"),
    "bert_classifier": SMALL_ENCODER,
    "bert": ("limit=0.3", *SMALL_ENCODER),
    "tagger": ("limit=0.3", "optimizer.lr=0.01", "model.net.width=32"),
    "seq2seq": ("limit=0.25",),
    "seq2seq_attention": ("limit=0.25",),
    "transformer": ("limit=0.25",),
    "gpt": ("limit=0.3", "limit_valid=0.3", "model.net.width=32", "model.net.depth=1"),
    "rnn_lm": ("model.net.width=48",),
    "name_writer": ("model.net.width=48",),
    **dict.fromkeys(("robust", "robust_fast", "robust_fgsm", "trades"), UNDER_ATTACK),
    "vit": ("optimizer.lr=0.003", "model.net.encoder.depth=1"),
    "conformer": ("optimizer.lr=0.005", "batch=16", "model.net.depth=1", "model.net.dropout=0"),
}


def newest() -> Path:
    """Return the run folder that was made last."""
    return sorted(Path("outputs").glob("*/*/run.json"), key=lambda path: path.parent.name)[-1].parent


def test_the_families_are_counted():
    assert len(FAMILIES) == 98
    assert len(paths.options("optimizer")) == 10
    assert len(paths.options("schedule")) == 9
    assert len(paths.options("data")) == 51
    assert len(paths.options("augment")) == 20


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_and_gets_better_on_its_embedded_data(dl, family):
    epochs = LONG.get(family, 4)
    words = ("train", f"model={family}", f"epochs={epochs}", "log.every=5", *QUICK.get(family, ()))
    code, _, err = dl(*words)
    assert code == 0, err
    run = newest()
    rows = [line.split(",") for line in (run / "scalars.csv").read_text().splitlines()[1:]]
    status = json.loads((run / "status.json").read_text())
    curve = [float(value) for _, name, value in rows if name == f"valid/{status['monitor']}"]
    assert len(curve) == epochs
    better = (curve[-1] < curve[0]) is not status["rising"] or family in SOLVED
    assert max(curve) >= CHANCE.get(family, 0.5) if status["monitor"] == "accuracy" else better, curve
    model = revive(Run(run), "best", torch.device("cpu"))
    assert isinstance(model, Model)
    scores = {name.removeprefix("valid/") for _, name, _ in rows if name.startswith("valid/")}
    assert scores & BETTER_WHEN_HIGHER == scores & model.rising


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_in_the_number_type_of_gpus(family):
    smaller = [word for word in QUICK.get(family, ()) if not word.startswith(("limit", "batch"))]
    few = ("batch=16", "max_steps=6", "limit_valid=0.1")  # a processor without such instructions emulates them
    words = [f"model={family}", f"name={family}", "precision=bf16", *few, *smaller]
    made = prepare(check("train", words))
    assert made.engine.fit(made.train, made.valid)
    assert math.isfinite(made.engine.best.score)
    assert {p.dtype for p in made.engine.model.parameters()} <= {torch.float32}


@pytest.mark.parametrize("family", ["mlp", "perceptron", "vae"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(dl, undrawn, family):
    ends = []
    for seed in (1, 1, 2):
        assert dl("train", f"model={family}", "epochs=1", f"seed={seed}", *QUICK.get(family, ()))[0] == 0
        ends.append(load_file(newest() / "checkpoints/best.safetensors"))
    assert all(ends[0][name].equal(ends[1][name]) for name in ends[0])
    assert not all(ends[0][name].equal(ends[2][name]) for name in ends[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_where_it_comes_from(family):
    path = paths.options("model")[family]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n")
    assert f"# dl train model={family}\n" in text
    assert re.search(r"\b(1[89]|20)\d\d\b", text.split("defaults:")[0]), "the header cites its source with a year"
    keys = [
        entry for entry in catalog.entries(path) if entry.value and not entry.key.endswith(("_target_", "_partial_"))
    ]
    assert not [entry.key for entry in keys if not entry.meaning]


@pytest.mark.parametrize(
    "group", ["data", "optimizer", "schedule", "attack", "augment", "init", "sampler", "device", "experiment"]
)
def test_every_option_describes_itself(group):
    for path in paths.options(group).values():
        assert 10 < len(catalog.description(path)) <= 130, path
        keys = [
            entry
            for entry in catalog.entries(path)
            if entry.value and not entry.key.endswith(("_target_", "_partial_"))
        ]
        if group != "experiment":
            assert not [entry.key for entry in keys if not entry.meaning], path


@pytest.mark.parametrize("recipe", sorted(paths.options("experiment")))
def test_every_recipe_composes(recipe):
    config = check("train", [f"experiment={recipe}"])
    assert config.data.name in recipe or config.data.name.split("_")[-1] in recipe


FILES = {
    *("mnist", "fashion", "binary_mnist", "usps", "mnist_usps", "usps_mnist", "paintings"),
    *("cifar10", "isbi", "fsdd", "fsdd_spectrogram"),
    *("shakespeare", "names", "sst2", "multi30k"),
}
OWN = {"table", "arrays", "folder", "masks", "domains", "text", "lines", "tagged", "parallel"}
EMBEDDED = sorted(set(paths.options("data")) - FILES - OWN)


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_files_state_the_facts_that_the_data_have(name):
    from omegaconf import OmegaConf

    from dlcli.data.splits import check as check_splits

    node = OmegaConf.load(paths.options("data")[name])
    stated = OmegaConf.to_container(OmegaConf.create({"data": node}), resolve=True)["data"]
    splits = build(stated["source"]).load(Path("nowhere"))
    check_splits(splits, splits.facts.get("classes"))
    for fact, value in splits.facts.items():
        if stated.get(fact) is not None:
            assert stated[fact] == (pytest.approx(value, abs=1e-3) if fact in ("mean", "std") else value), fact


def test_roots_in_the_table_and_in_the_file_agree():
    from dlcli.config import schema

    keys = {
        entry.key
        for verb in ("train", "eval", "sample", "attack", "export")
        for entry in catalog.entries(paths.packaged() / f"{verb}.yaml")
    }
    keys |= {entry.key for entry in catalog.own("device", "auto")}
    keys |= {entry.key for option in paths.options("attack") for entry in catalog.own("attack", option)}
    assert schema.ROOT.keys() <= keys
    nullable = {e.key for e in catalog.entries(paths.packaged() / "train.yaml") if e.value == "null"}
    assert nullable <= schema.ROOT.keys()


@pytest.mark.parametrize("name", ["mnist", "fashion", "binary_mnist"])
def test_official_sets_state_their_facts(real_data, name):
    from omegaconf import OmegaConf

    stated = OmegaConf.to_container(OmegaConf.load(paths.options("data")[name]))
    splits = build(stated["source"]).load(real_data)
    assert (splits.train.size, splits.valid.size, splits.test.size) == (50_000, 10_000, 10_000)
    assert stated["mean"] == pytest.approx(splits.facts["mean"], abs=1e-4)
    assert torch.bincount(splits.test.y).min() > 850
