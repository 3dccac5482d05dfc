"""`dl eval judge=RUN`: samples against real examples, as a classifier sees them."""

import json
from pathlib import Path

import pytest
import torch

from dlcli import fidelity
from dlcli.errors import DivergedError
from dlcli.models.classifier import Classifier
from dlcli.samplers import Prior
from dlcli.verbs.judge import Exam, drawn, generates, noting
from dlcli.verbs.looks import apart, birthdays

SMALL = ("model.encoder.widths=[32]", "model.decoder.widths=[32]", "model.importance=2", "epochs=2", "data=digits8")
JUDGE = ("model=mlp", "data=digits8", "epochs=4")
QUICK = ("points=0", "mistakes=0", "see=[]")

pytestmark = pytest.mark.usefixtures("undrawn")


def report(run) -> dict:
    """Return what the evaluation wrote."""
    return json.loads((Path(run) / "report-test.json").read_text())


def test_samples_are_judged_beside_training_examples(dl, trained, drawn):
    judge = trained(*JUDGE)
    run = trained("model=vae", *SMALL)
    code, out, err = dl("eval", str(run), f"judge={judge}", *QUICK)
    assert code == 0, err
    assert "FID-MLP" in out
    found = report(run)
    table, about = found["judged"], found["judge"]
    assert list(table) == [
        *("FID-MLP", "KID-MLP", "MMD", "precision", "recall", "density", "coverage"),
        *("fresh critic", "modes", "class imbalance"),
    ]
    assert table["FID-MLP"]["training"] < table["FID-MLP"]["samples"]
    assert table["fresh critic"]["training"] < 0.6 < table["fresh critic"]["samples"]
    assert table["modes"]["training"] == 10
    assert (about["family"], about["samples"], about["seed"], about["split"]) == ("mlp", 359, 0, "test")
    assert (about["run"], len(about["weights"])) == (str(judge), 64)
    assert set(found["duplicates"]) == {"samples", "training"}
    assert set(found["nearest training example"]) == {"samples", "real"}
    for name in ("classes-of-samples", "closest-pairs", "nearest"):
        assert list((Path(run) / "figures").glob(f"test*{name}*")), sorted((Path(run) / "figures").iterdir())
    assert dl("eval", str(run), f"judge={judge}", *QUICK)[0] == 0
    assert report(run) == found  # the same seed, the same verdict


def test_a_model_that_is_asked_for_classes_is_judged_by_them(dl, trained):
    judge = trained(*JUDGE)
    run = trained("model=cvae", *SMALL)
    assert dl("eval", str(run), f"judge={judge}", "sampler.temperature=0.5", "samples=100", *QUICK)[0] == 0
    found = report(run)
    assert found["judge"]["samples"] == 100
    assert found["judged"]["class accuracy"]["training"] > 0.8
    assert 0.1 < found["judged"]["class accuracy"]["samples"] <= 1
    assert found["judge"]["sampler"]["temperature"] == 0.5


@pytest.mark.parametrize("family", ["model=dbn_joint", "model=dbn_per_class"])
def test_belief_nets_that_draw_a_class_are_judged_by_it(dl, trained, family):
    judge = trained(*JUDGE)
    run = trained(family, "data=digits8", "epochs=4", "model.net.widths=[32]", "model.stages.pretrain=[1]",
                  *(["model.stages.updown=0"] if "joint" in family else []))  # fmt: skip
    quick = ("sampler=gibbs", "sampler.steps=20", "samples=60", *QUICK)
    code, _, err = dl("eval", str(run), f"judge={judge}", *quick)
    assert code == 0, err
    assert 0 <= report(run)["judged"]["class accuracy"]["samples"] <= 1


def test_categories_that_a_model_found_by_itself_are_no_classes(dl, trained):
    judge = trained("model=mlp", "data=digits", "epochs=2")
    run = trained("model=infogan", "epochs=1", "limit=0.1", "model.generator.width=4", "model.critic.width=4")
    assert dl("eval", str(run), f"judge={judge}", "samples=50", *QUICK)[0] == 0
    assert "class accuracy" not in report(run)["judged"]


def test_points_are_judged_by_the_modes_that_are_known(dl, trained, drawn):
    plane = ("model.generator.shape=[2]", "model.generator.output=identity")
    run = trained("model=gan", "data=ring", "epochs=1", "limit=0.2", *plane)
    code, out, err = dl("eval", str(run), *QUICK)
    assert code == 0, err
    assert "modes" in out
    found = report(run)
    assert 0 <= found["modes"] <= 8
    assert 0 <= found["good"] < 0.9
    assert list((Path(run) / "figures").glob("test*ring*"))


def test_translations_are_judged_by_a_classifier_of_the_other_domain(dl, trained, drawn):
    judge = trained("model=mlp", "data=digits", "epochs=4")
    small = ("model.there.width=2", "model.there.blocks=1", "model.critic_there.width=2", "limit=0.2", "epochs=1")
    run = trained("model=cyclegan", *small)
    code, out, err = dl("eval", str(run), f"judge={judge}", *QUICK)
    assert code == 0, err
    assert "untranslated" in out
    found = report(run)
    assert set(found["judged"]["class accuracy"]) == {"samples", "untranslated"}
    assert "nearest training example" not in found
    assert list((Path(run) / "figures").glob("test*translation*"))


def test_a_judge_that_cannot_judge_is_refused(dl, trained):
    vae = trained("model=vae", *SMALL)
    judge = trained(*JUDGE)
    other = trained("model=mlp", "data=digits", "epochs=4")
    for words, expected in (
        ((vae, f"judge={vae}"), "a VAE is no classifier; train one with `dl train model=lenet data=digits8`"),
        ((vae, f"judge={other}"), "it learned data=digits, not the data=digits8 of this run"),
        ((judge, f"judge={judge}"), "a Classifier generates nothing that could be judged"),
        ((vae, "judge=nobody"), "nobody: no such run"),
        ((vae, f"judge={judge}", "samples=3"), "samples must be a whole number >= 50"),
    ):
        code, _, err = dl("eval", *map(str, words), *QUICK)
        assert code in (2, 6), (code, err)
        assert expected in " ".join(err.split()), err


class Asking:
    """A generator that draws as many ones of each class as its sampler says."""

    def sample(self, n, sampler):
        return sampler.labels(n, ["a", "b"]).float()[:, None]


def test_the_classes_that_a_model_asks_for_are_noted():
    samples, asked = drawn(Asking(), Prior(), 10, 4)
    assert asked is not None
    assert asked.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 1] == samples[:, 0].int().tolist()
    sampler = Prior()
    noted = noting(sampler, [])
    assert isinstance(noted, Prior)
    assert "labels" not in vars(sampler)
    without = object()
    assert noting(without, []) is without
    assert not generates(Classifier(net=torch.nn.Identity(), classes=2))


def test_duplicates_are_counted_by_the_closest_real_pair():
    real, train = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([[0.0], [2.0], [4.0], [8.0]])
    samples = torch.tensor([[0.0], [0.1], [0.2], [9.0]])
    exam = Exam(samples, real, train, None, torch.zeros(4))
    found = birthdays(exam)
    assert found["samples"] == {"pairs": 3.0, "support": 2.0}  # six pairs, three of them closer than 1
    assert found["training"] == {"pairs": 0.0, "support": 6.0}
    assert apart(torch.zeros(1, 4), torch.ones(3, 4))[0].tolist() == [1.0]
    assert fidelity.closest(real, 1)[0].tolist() == [1.0]


def test_samples_that_are_no_numbers_are_refused():
    class Lost:
        def sample(self, n, sampler):
            return torch.full((n, 2), torch.nan)

    with pytest.raises(DivergedError, match="1 of 1 batches"):
        drawn(Lost(), Prior(), 5, 10)
