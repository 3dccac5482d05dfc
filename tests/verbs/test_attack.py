"""`dl attack` from end to end: what it prints and writes, what it refuses, and that a kill changes nothing."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import dlcli
import dlcli.verbs.assault as assault_module
import dlcli.verbs.attack as attack_module
from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.verify import verify
from dlcli.engine.checkpoint import decode, encode
from dlcli.errors import RunError
from dlcli.lock import held

TRAINED: dict[str, Path] = {}


@pytest.fixture
def run(dl, tmp_path_factory) -> Path:
    """Return a small classifier of digits in this test's folder, trained once for all tests."""
    if "one" not in TRAINED:
        kept = tmp_path_factory.mktemp("kept")
        for name, seed in (("one", 0), ("two", 1)):
            words = ("model=mlp", "data=digits", "epochs=2", f"seed={seed}", f"paths.outputs={kept}/{name}")
            assert dl("train", *words)[0] == 0
            (TRAINED[name],) = Path(kept / name).glob("*/*")
    for name, path in TRAINED.items():
        shutil.copytree(path, Path("outputs") / name / path.name)
    return next(Path("outputs/one").iterdir())


def report(run: Path, start: str) -> dict:
    (path,) = run.glob(f"attack-{start}*.json")
    return json.loads(path.read_text())


def test_a_report_says_what_was_done_to_whom_and_what_came_out(dl, run):
    code, out, _ = dl("attack", str(run), "attack=pgd", "n=60", "checks=20", "batch=20")
    assert code == 0
    for word in ("clean accuracy", "robust accuracy", "success rate", "PASS gradients", "verified", "queries"):
        assert word in out
    found = report(run, "pgd-40")
    assert found["threat"] == {"norm": "linf", "eps": 0.1, "target": None, "pixels": [0, 1], "knows": "the weights"}
    assert found["attack"]["steps"] == 40
    assert found["attack"]["restarts"] == 1
    assert len(found["model"]) == 64
    assert found["examples"] == 60
    assert 0 < found["gradients"] <= found["queries"] <= 42
    assert found["learning"] == {"queries": 0, "gradients": 0}
    assert found["attack"]["step_size"] == pytest.approx(2.5 * 0.1 / 40)
    assert found["right"].count("1") == round(60 * found["robust_accuracy"])
    assert (found["stop"], found["checkpoint"], found["precision"]) == (True, "best", "float32")
    assert found["step"] == json.loads((run / "status.json").read_text())["at"]
    assert found["versions"]["dl"] == dlcli.__version__
    assert (found["sources"], found["substitute"]) == ([], None)
    assert found["robust_accuracy"] < found["clean_accuracy"]
    pairs = load_file(run / "attacks/pgd-40-linf-eps0.1.safetensors")
    verdict = verify(pairs["clean"], pairs["adversarial"], eps=0.1, norm="linf")
    assert verdict.largest == pytest.approx(found["largest"])
    assert (run / "figures/attack-pgd-40-linf-eps0.1.png").stat().st_size > 3000
    with Image.open(run / "attacks/pgd-40-linf-eps0.1.png") as sheet:
        assert sheet.size == (7 * 28, 9 * 28)  # 60 pictures
        assert sheet.mode == "L"
    assert found["eight_bit"]["verified"]
    assert not list((run / "attacks").glob(".parts*"))


def test_a_curve_over_sizes_is_a_table_and_a_figure(dl, run):
    code, out, _ = dl("attack", str(run), "attack=fgsm", "attack.eps=[0.2,0.05,0.1]", "n=60", "checks=20")
    assert code == 0
    assert "PASS monotone" in out
    assert out.count("PASS gradients") == 1  # for the largest size
    found = json.loads((run / "attack-fgsm-linf-curve.json").read_text())
    assert found["eps"] == [0.05, 0.1, 0.2]
    assert found["robust_accuracy"] == sorted(found["robust_accuracy"], reverse=True)
    assert (run / "figures/attack-fgsm-linf-curve.png").exists()
    assert report(run, "fgsm-linf-eps0.05")["robust_accuracy"] == found["robust_accuracy"][0]


def test_a_kill_and_another_start_give_the_same(dl, run, monkeypatch):
    words = ("attack", str(run), "attack=pgd", "attack.restarts=2", "n=60", "batch=20", "checks=0")
    assert dl(*words, "out=whole")[0] == 0
    honest, calls = assault_module.compute, []

    def dying(*given):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return honest(*given)

    monkeypatch.setattr(assault_module, "compute", dying)
    assert dl(*words, "out=torn")[0] == 130
    (parts,) = Path("torn").glob(".parts-*")
    assert len(list(parts.glob("*.safetensors"))) == 2
    (parts / "000001.safetensors").write_bytes(b"torn")
    monkeypatch.setattr(assault_module, "compute", lambda *given: (calls.append(1), honest(*given))[1])
    code, out, _ = dl(*words, "out=torn")
    assert code == 0
    assert "1 of 3 batches were there from before" in out
    assert len(calls) == 4
    name = "pgd-40x2-linf-eps0.1.safetensors"
    whole, torn = load_file(f"whole/{name}"), load_file(f"torn/{name}")
    assert all(torch.equal(whole[key], torn[key]) for key in whole)


def test_two_equal_attacks_at_once_are_one_and_a_refusal(dl, run, monkeypatch):
    """The parts are held from the first batch until they are in the results."""
    words = ("attack", str(run), "attack=fgsm", "n=20", "checks=0")
    honest, seen = attack_module.keep, []

    def meanwhile(*given):
        (parts,) = (run / "attacks").glob(".parts-*")
        with pytest.raises(RunError, match="in use by process"), held(parts):
            pass
        (parts / "000000.safetensors").unlink()  # somebody tidies up
        seen.append(parts)
        return honest(*given)

    monkeypatch.setattr(attack_module, "keep", meanwhile)
    assert dl(*words)[0] == 0
    monkeypatch.setattr(attack_module, "keep", honest)
    assert not seen[0].exists()
    seen[0].mkdir()
    with held(seen[0]):
        code, out, err = dl(*words)
    assert (code, out) == (6, "")
    assert "in use by process" in err
    assert dl(*words, "attack.eps=[0.2,0.2]")[0] == 0  # the same size twice is one attack
    assert not list((run / "attacks").glob(".parts-*/*.safetensors"))


def test_a_sheet_that_cannot_be_written_is_told_in_a_line(dl, run):
    (run / "attacks/fgsm-linf-eps0.1.png").mkdir(parents=True)
    code, _, err = dl("attack", str(run), "attack=fgsm", "n=20", "checks=0")
    assert (code, "cannot be written" in err) == (7, True)


def test_an_attack_that_is_refused_leaves_no_folder(dl, run):
    assert dl("attack", str(run), "attack=pgd", "attack.target=77", "n=20", "checks=0")[0] == 2
    assert not list((run / "attacks").glob("*"))


def test_parts_of_another_attack_are_not_taken(dl, run):
    def folder(*words):
        from dlcli.arguments import run_and_config
        from dlcli.verbs.assault import folder_of, identity
        from dlcli.verbs.victim import stage

        found, config = run_and_config("attack", [str(run), *words], None)
        scene = stage(found, config)
        return folder_of(scene, identity(scene, config["attack"]["eps"]))

    first = folder("attack=pgd")
    assert folder("attack=pgd") == first
    others = [("attack=pgd", "attack.eps=0.2"), ("attack=pgd", "seed=1"), ("attack=bim",), ("attack=pgd", "batch=10")]
    assert first not in [folder(*words) for words in others]


def test_what_is_reported_of_a_random_net_are_its_own_single_answers(dl, trained):
    run = trained("model=noisy", "data=digits8", "epochs=3", "model.net.std=0.4")
    words = ("attack", str(run), "attack=pgd", "attack.steps=2", "attack.eps=0.02", "checks=0", "n=300")
    reports = []
    for eot in (1, 20):
        assert dl(*words, f"attack.eot={eot}")[0] == 0
        (path,) = run.glob("attack-*.json")
        reports.append(json.loads(path.read_text()))
        path.unlink()
    assert reports[0]["clean_accuracy"] == reports[1]["clean_accuracy"]
    for found in reports:
        error = (found["robust_accuracy"] * (1 - found["robust_accuracy"]) / 300) ** 0.5
        assert abs(found["robust_accuracy"] - found["eight_bit"]["robust_accuracy"]) < 2 * error


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("attack=deepfool",), ["distance", "median"]),
        (
            ("attack=autoattack", "attack.queries=20", "attack.steps=10"),
            ["after apgd-ce", "after fab-t", "after square"],
        ),
        (("attack=patch",), ["patch-l0-eps49"]),
        (("attack=universal", "attack.eps=0.3"), ["universal-linf"]),
        (("attack=spatial", "attack.turns=3", "attack.shifts=3"), ["spatial-none"]),
        (("attack=hopskipjump", "attack.steps=2"), ["0.0 with gradients"]),
        (("attack=pgd", "attack.target=all"), ["pgd-40-all-linf"]),
        (("attack=pgd", "attack.target=3"), ["pgd-40-3-linf"]),
        (("attack=noise", "attack.norm=l1", "attack.eps=5"), ["noise-l1"]),
    ],
)
def test_each_kind_of_attack_runs(dl, run, words, lines):
    code, out, err = dl("attack", str(run), *words, "n=10", "checks=5")
    assert code == 0, err
    for line in lines:
        assert line in out


def test_pictures_made_with_other_nets_are_shown_to_the_run(dl, run):
    other = str(next(Path("outputs/two").iterdir()))
    code, out, _ = dl("attack", str(run), f"transfer_from={other}", "attack=mifgsm", "n=60", "attack.eps=0.2")
    assert code == 0
    assert f"made with {other}" in out
    found = report(run, "pgd-10-still-momentum-transfer")
    assert found["threat"]["knows"] == "the weights of others"
    assert found["robust_accuracy"] < found["clean_accuracy"]
    assert [check["name"] for check in found["checks"]] == [
        "gradients", "logits", "repeatable", "static", "noise", "direct",
    ]  # fmt: skip
    for check in found["checks"]:
        assert f"  PASS {check['name']}: {check['finding']}\n" in out
    own = next(check["finding"] for check in found["checks"] if check["name"] == "direct")
    assert own.startswith("aimed at the net itself it wins")
    code, out, _ = dl("attack", str(run), f"transfer_from=[{other}]", "attack=fgsm", "n=20")
    assert code == 0
    code, _, err = dl("attack", str(run), f"transfer_from={run}", "n=20")
    assert code == 2
    assert "it has the weights of" in err


def test_two_attacks_of_one_name_leave_two_reports_and_the_same_command_the_same(dl, run):
    """Everything that the name leaves out tells them apart: here the net that the pictures were made with, or n."""
    two = next(Path("outputs/two").iterdir())
    assert dl("train", "model=mlp", "data=digits", "epochs=1", "seed=2", "paths.outputs=outputs/three")[0] == 0
    (three,) = Path("outputs/three").glob("*/*")
    for words in ([f"transfer_from={two}"], [f"transfer_from={three}"], [f"transfer_from={three}", "n=30"]):
        assert dl("attack", str(run), "attack=fgsm", "n=40", "checks=0", *words)[0] == 0
    names = sorted(path.stem for path in run.glob("attack-*.json"))
    assert names[0] == "attack-fgsm-transfer-linf-eps0.1"
    assert len(names) == 3
    reports = [json.loads((run / f"{name}.json").read_text()) for name in names]
    assert sorted((report["through"], report["examples"]) for report in reports) == sorted(
        [(str(two), 40), (str(three), 40), (str(three), 30)]
    )
    for report in reports:
        assert report["name"] in ("fgsm-transfer-linf-eps0.1", f"fgsm-transfer-linf-eps0.1-{report['key'][:6]}")
        assert (run / f"attacks/{report['name']}.safetensors").exists()
        assert len(report["sources"]) == 1
    assert dl("attack", str(run), "attack=fgsm", "n=40", "checks=0", f"transfer_from={three}")[0] == 0
    assert sorted(path.stem for path in run.glob("attack-*.json")) == names


def test_two_curves_of_one_name_are_both_kept(dl, run):
    for n in (20, 30, 20):
        assert dl("attack", str(run), "attack.eps=[0.05,0.1]", f"n={n}", "checks=0")[0] == 0
    assert len(list(run.glob("attack-fgsm-linf-curve*.json"))) == 2
    assert len(list(run.glob("attack-fgsm-linf-eps*.json"))) == 4


def test_what_an_attack_learned_from_is_counted(dl, run):
    code, out, _ = dl("attack", str(run), "attack=universal", "attack.passes=2", "n=20", "checks=0")
    assert code == 0
    found = report(run, "universal")
    assert found["learning"]["queries"] == found["learning"]["gradients"]
    assert found["learning"]["queries"] % 2 == 0
    assert found["learning"]["queries"] > 200
    assert f"learned from       {found['learning']['queries']} answers" in out


def test_the_victims_gradient_is_never_asked_for_in_a_transfer(dl, run, monkeypatch):
    seen = []
    honest = attack_module.stage

    def watched(*given):
        scene = honest(*given)
        scene.victim.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].requires_grad))
        return scene

    monkeypatch.setattr(attack_module, "stage", watched)
    other = str(next(Path("outputs/two").iterdir()))
    assert dl("attack", str(run), f"transfer_from={other}", "attack=pgd", "n=40", "checks=0")[0] == 0
    assert seen
    assert not any(seen)
    assert dl("attack", str(run), f"transfer_from={other}", "attack=pgd", "n=40", "checks=5")[0] == 0
    assert any(seen)  # one of the checks asks for them, once the attack is over


def test_a_substitute_learns_from_labels_that_are_counted(dl, run):
    words = ("substitute.queries=200", "substitute.passes=10", "attack=pgd", "attack.eps=0.2", "n=60")
    code, out, _ = dl("attack", str(run), *words)
    assert code == 0
    assert "a substitute that learned 192 labels" in out
    found = report(run, "pgd-40-substitute")
    assert found["labels_asked"] == 192  # 12 pictures, doubled four times: at most the 200 that are allowed
    assert found["success_rate"] > 0.05
    assert found["substitute"] == {"queries": 200, "rounds": 5, "passes": 10}
    assert len(found["sources"]) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("attack.eps=-1",), 2, "attack.eps must be a number >= 0"),
        (("attack.eps=[0.1,-1]",), 2, "attack.eps must be a number >= 0"),
        (("attack.eps=[]",), 2, "attack.eps must be"),
        (("attack.eps=8",), 2, "divide by 255"),
        (("attack=pgd_l2", "attack.eps=128"), 2, "attack.eps=128 must be at most 28 in l2"),
        (("attack=pgd", "attack.steps=0"), 2, "attack.steps must be a whole number >= 1"),
        (("attack.norm=l3",), 2, "attack.norm=l3 must be linf or l2"),
        (("attack.target=10",), 2, "attack.target=10 must be a class below 10"),
        (("attack=autoattack", "attack.target=1"), 2, "attack.target=1 must be null"),
        (("transfer_from=nobody",), 6, "nobody"),
        (("transfer_from=[]",), 2, "name a run"),
        (("transfer_from=x", "substitute.queries=10"), 2, "drop the other"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(dl, run, words, code, message):
    found, _, err = dl("attack", str(run), *words)
    assert found == code
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [("attack=pgd",), ("attack=fgsm", "attack.target=random"), ("attack=deepfool",)])
def test_pairs_are_verified_and_shown_again_with_the_same_result(dl, run, words):
    assert dl("attack", str(run), *words, "n=40", "checks=0")[0] == 0
    (path,), (told,) = (run / "attacks").glob("*.safetensors"), run.glob("attack-*.json")
    found, before = json.loads(told.read_text()), sorted(run.rglob("*"))
    code, out, err = dl("attack", str(run), f"pairs={path}")
    assert code == 0, err
    assert "40 pairs" in out
    assert "the weights that they were made for" in out
    for key in ("clean_accuracy", "robust_accuracy", "success_rate"):
        assert f"{key.replace('_', ' '):18} {100 * found[key]:.2f} %" in out
    assert sorted(run.rglob("*")) == before
    other = next(Path("outputs/two").iterdir())
    code, out, _ = dl("attack", str(other), f"pairs={path}")
    assert code == 0
    assert "other weights than they were made for" in out


def test_pairs_that_break_their_threat_model_or_are_damaged_are_refused_in_a_line(dl, run, trained):
    assert dl("attack", str(run), "n=20", "checks=0")[0] == 0
    (path,) = (run / "attacks").glob("*.safetensors")
    content = path.read_bytes()
    tensors, threat = decode(content, path)
    far = encode(tensors | {"adversarial": tensors["clean"].roll(1, 0)}, threat)
    torn = {"clean": tensors["clean"][:3]}
    small = trained("model=mlp", "data=digits8", "epochs=1")
    for made, where, code, message in (
        (far, run, 1, "linf distance"),
        (content[:-5], run, 3, "damaged"),
        (content[:-1] + bytes([content[-1] ^ 1]), run, 3, "SHA-256"),
        (encode(torn, threat), run, 3, "damaged"),
        (encode(tensors | torn, threat), run, 3, "do not fit together"),
        (encode(tensors, threat | {"eps": "0.1"}), run, 3, "do not fit together"),
        (encode(tensors, {}), run, 3, "damaged"),
        (b"", run, 3, "damaged"),
        (content, small, 2, "pictures of shape"),
    ):
        Path("pairs").write_bytes(made)
        found, _, err = dl("attack", str(where), "pairs=pairs")
        assert (found, message in err, err.count("\n")) == (code, True, 1), err
    assert dl("attack", str(run), "pairs=nowhere")[0] == 3


def test_a_run_that_cannot_be_attacked_is_answered_with_those_that_can(dl, run, trained):
    cured = "attack a classifier of pictures: "
    for words, fault in (
        (("model=vae", "data=digits8", "epochs=1"), "holds VAE, which does not classify"),
        (("model=linear", "epochs=1"), "was trained on"),
    ):
        other = trained(*words)
        (Path("outputs") / "broken" / "run").mkdir(parents=True, exist_ok=True)
        Path("outputs/broken/run/run.json").write_text("{")
        code, _, err = dl("attack", str(other), "paths.outputs=outputs")
        assert code == 2
        assert fault in err
        for name in ("one", "two"):
            assert str(next(Path(f"outputs/{name}").iterdir())) in err.partition(cured)[2]
        assert str(other) not in err.partition(cured)[2]
    code, _, err = dl("attack", str(other), "paths.outputs=elsewhere")
    assert "train one with `dl train model=lenet`" in err


def test_an_attack_that_leaves_its_ball_fails_the_command(dl, run, monkeypatch):
    monkeypatch.setattr(FGSM, "search", lambda self, classifier, cases: (cases.x + 0.2).clamp(0, 1))
    code, _, err = dl("attack", str(run), "n=20")
    assert code == 1
    assert "linf distance" in err
    assert "discard its results" in err


def test_an_attack_that_moves_the_weights_fails_the_command(dl, run, monkeypatch):
    honest = FGSM.search

    def search(self, classifier, cases):
        next(classifier.classifier.parameters()).data.add_(1e-3)
        return honest(self, classifier, cases)

    monkeypatch.setattr(FGSM, "search", search)
    code, _, err = dl("attack", str(run), "n=20", "checks=0")
    assert code == 1
    assert "the attack changed weights and buffers of the model" in err


def test_an_attack_that_moves_the_weights_it_goes_through_fails_the_command(dl, run, monkeypatch):
    honest = FGSM.search

    def search(self, classifier, cases):
        next(classifier.classifier.classifiers[0].parameters()).data.add_(1e-3)
        return honest(self, classifier, cases)

    monkeypatch.setattr(FGSM, "search", search)
    other = next(Path("outputs/two").iterdir())
    code, _, err = dl("attack", str(run), "n=20", "checks=0", f"transfer_from={other}")
    assert code == 1
    assert "changed weights and buffers of a net that the pictures were made with" in err


@pytest.mark.parametrize(
    ("slip", "what"),
    [
        (lambda net: net.train(), "modes"),
        (lambda net: torch.rand(1), "random streams"),
        (lambda net: random.random(), "random streams"),
        (lambda net: np.random.rand(), "random streams"),
        (lambda net: next(net.parameters()).requires_grad_(False), "gradients"),
    ],
    ids=["modes", "torch", "python", "numpy", "gradients"],
)
def test_whatever_else_an_attack_changes_fails_the_command(dl, run, monkeypatch, slip, what):
    honest = attack_module.make

    def make(scene, *given):
        made = honest(scene, *given)
        slip(scene.victim)
        return made

    monkeypatch.setattr(attack_module, "make", make)
    code, _, err = dl("attack", str(run), "n=20", "checks=0")
    assert code == 1
    assert f"the attack changed {what} of the model" in err


@pytest.mark.parametrize("whose", ["victim", "source"])
def test_a_net_in_train_mode_is_not_attacked(dl, run, monkeypatch, whose):
    honest = attack_module.stage

    def stage(*given):
        scene = honest(*given)
        net = scene.victim if whose == "victim" else scene.source.classifiers[0]
        next(net.children()).train()
        return scene

    monkeypatch.setattr(attack_module, "stage", stage)
    monkeypatch.setattr(assault_module, "compute", lambda *given: pytest.fail("attacked"))
    other = next(Path("outputs/two").iterdir())
    code, _, err = dl("attack", str(run), "n=20", *[f"transfer_from={other}"] * (whose == "source"))
    assert code == 1
    assert "in train mode" in err


def test_clean_pictures_that_an_attack_paints_over_fail_the_command(dl, run, monkeypatch):
    """The distance would be that to what it painted over."""

    def search(self, classifier, cases):
        cases.x.mul_(0.5)
        return cases.x + 0.05

    monkeypatch.setattr(FGSM, "search", search)
    code, _, err = dl("attack", str(run), "n=20", "checks=0")
    assert code == 1
    assert "not those of the data set" in err


def test_a_target_that_every_example_has_is_refused_before_the_attack(dl, run, monkeypatch):
    assert dl("attack", str(run), "n=1", "checks=0")[0] == 0
    (path,) = (run / "attacks").glob("*.safetensors")
    label = load_file(path)["labels"].item()
    monkeypatch.setattr(assault_module, "compute", lambda *given: pytest.fail("attacked"))
    code, _, err = dl("attack", str(run), "n=1", "attack=pgd", f"attack.target={label}")
    assert code == 2
    assert f"attack.target={label}: the true class of every example" in err


def test_tensorboard_has_the_numbers_and_the_picture_of_an_attack(dl, run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert dl("attack", str(run), "n=20", "checks=0")[0] == 0
    events = EventAccumulator(str(run))
    events.Reload()
    found, name = report(run, "fgsm"), "attack/fgsm-linf-eps0.1"
    for key in ("clean_accuracy", "robust_accuracy", "success_rate"):
        (event,) = events.Scalars(f"{name}/{key}")
        assert event.value == pytest.approx(found[key])
        assert event.step == found["step"]
    assert name in events.Tags()["images"]


def test_a_net_that_is_always_wrong_has_nothing_to_win(dl, run, monkeypatch):
    from dlcli.models.classifier import Classifier

    honest = Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, x: -honest(self, x))
    code, out, _ = dl("attack", str(run), "n=20", "checks=0")
    assert code == 0
    assert "no example was there to win" in out
    found = report(run, "fgsm")
    assert (found["attacked"], found["skipped"], found["success_rate"], found["clean_accuracy"]) == (0, 20, 0, 0)
    assert found["right"] == 20 * "0"


def test_the_first_examples_of_a_folder_are_of_all_classes(dl):
    """Folders list one class after the other; n and substitutes take the first examples, of validation or training."""
    for number in range(60):
        path = Path(f"own/{'abc'[number % 3]}/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 4 * number, np.uint8)).save(path)
    form = [f"data.source.{key}={value}" for key, value in (("height", 8), ("width", 8), ("workers", 0))]
    words = ("data=folder", "data.source.path=own", "data.source.channels=1", *form)
    assert dl("train", "model=softmax", "epochs=1", "batch=12", *words)[0] == 0
    for split in ("test", "train"):
        code, _, err = dl("attack", "last", "n=6", "checks=0", f"split={split}", f"out={split}")
        assert code == 0, err
        (pairs,) = Path(split).glob("*.safetensors")
        assert load_file(pairs)["labels"].bincount().tolist() == [2, 2, 2]
