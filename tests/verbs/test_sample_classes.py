"""`dl sample`: of a conditional model all classes in turn, or one by name; and what becomes of earlier samples."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from dlcli.verbs.sample import put

SMALL = ("epochs=1", "limit=0.1", "limit_valid=0.1", "model.importance=2")


def samples(name: str) -> torch.Tensor:
    """Return what was drawn."""
    (path,) = Path("outputs").glob(f"*/*/samples/{name}.safetensors")
    return load_file(path)["samples"]


def test_a_conditional_model_draws_each_class_or_the_chosen_one(dl):
    narrow = ("model.encoder.widths=[8]", "model.decoder.widths=[8]")
    assert dl("train", "model=cvae", *SMALL, *narrow)[0] == 0
    assert dl("sample", "n=20", "sampler.temperature=0.001")[0] == 0
    drawn = samples("prior-seed0")
    assert drawn.shape == (20, 1, 28, 28)
    torch.testing.assert_close(drawn[0], drawn[1], atol=1e-2, rtol=0)  # two of a class, almost without noise
    for _ in range(2):
        assert "prior-seed0-2.png" in dl("sample", "n=4", "sampler.label=7")[1]
    assert samples("prior-seed0-2").shape == (4, 1, 28, 28)
    assert samples("prior-seed0").equal(drawn)
    assert len(list(Path("outputs").glob("*/*/samples/prior-*"))) == 4
    assert dl("sample", "n=3", "sampler=interpolation", "sampler.label=7")[0] == 0
    assert samples("interpolation-seed0").shape == (3, 1, 28, 28)
    code, _, err = dl("sample", "sampler.label=ten")
    assert code == 2
    assert "sampler.label=ten: no such class" in err
    assert "classes: 0, 1, 2" in err


def test_each_picture_in_a_file_of_its_own(dl):
    assert dl("train", "model=vae", *SMALL, "model.encoder.widths=[8]", "model.decoder.widths=[8]")[0] == 0
    code, out, _ = dl("sample", "n=3", "files=true")
    assert code == 0
    assert out.rstrip().endswith("/samples/prior-seed0")
    drawn = samples("prior-seed0")
    for number, path in enumerate(sorted(Path("outputs").glob("*/*/samples/prior-seed0/*.png"))):
        with Image.open(path) as picture:
            assert (path.name, picture.mode, picture.size) == (f"{number:05}.png", "L", (28, 28))
            levels = torch.from_numpy(np.asarray(picture).copy())
        assert levels.equal((drawn[number, 0] * 255).round().byte())
    assert number == 2


def test_a_model_without_classes_says_so(dl):
    assert dl("train", "model=vae", *SMALL, "model.encoder.widths=[8]", "model.decoder.widths=[8]")[0] == 0
    code, _, err = dl("sample", "sampler.label=3")
    assert code == 2
    assert "VAE draws from no chosen class" in err
    assert "model=cvae" in err


def test_no_file_of_samples_is_lost(tmp_path):
    written = [put(tmp_path, "prior-seed0", content) for content in (
        {".safetensors": b"a", ".png": b"1"}, {".safetensors": b"a", ".png": b"2"},
        {".safetensors": b"a", ".png": b"1"}, {".safetensors": b"b", ".png": b"3"},
    )]  # fmt: skip
    assert [[file.name for file in files] for files in written] == [
        [f"{name}{suffix}" for suffix in (".safetensors", ".png")]
        for name in ("prior-seed0", "prior-seed0-2", "prior-seed0", "prior-seed0-3")
    ]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "prior-seed0.safetensors": b"a", "prior-seed0.png": b"1", "prior-seed0-2.safetensors": b"a",
        "prior-seed0-2.png": b"2", "prior-seed0-3.safetensors": b"b", "prior-seed0-3.png": b"3",
    }  # fmt: skip


def test_a_deep_belief_net_draws_each_class_or_the_chosen_one(dl, trained):
    few = ("data=digits8", "epochs=3", "model.net.widths=[16]", "model.stages.pretrain=[1]", "model.stages.updown=0")
    trained("model=dbn_joint", *few)
    assert dl("sample", "n=20")[0] == 0
    assert samples("prior-seed0").shape == (20, 1, 8, 8)
    assert dl("sample", "n=20", "sampler.label=3")[0] == 0
    assert not samples("prior-seed0-2").equal(samples("prior-seed0"))
    assert dl("sample", "n=20", "sampler=gibbs", "sampler.label=3")[0] == 0
    assert samples("gibbs-seed0").equal(samples("prior-seed0-2"))
    code, _, err = dl("sample", "sampler.temperature=0.5")
    assert (code, "sampler.temperature=0.5: it scales codes from a prior" in err) == (2, True)


def test_a_deep_belief_net_draws_whatever_it_has_seen(dl, trained):
    trained("model=dbn", "data=digits8", "epochs=6", "model.generator.widths=[16,16]")
    assert dl("sample", "n=8", "sampler=gibbs", "sampler.steps=50", "sampler.start=examples")[0] == 0
    drawn = samples("gibbs-seed0")
    assert drawn.shape == (8, 1, 8, 8)
    assert 0 <= drawn.min() < drawn.max() <= 1
    code, _, err = dl("sample", "sampler.label=3")
    assert (code, "DBN draws from no chosen class" in err) == (2, True)
