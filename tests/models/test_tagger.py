"""The tagger: its loss and scores by hand, and that it learns what stands on both sides of a token."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from dlcli.batch import IGNORED, Tokens
from dlcli.models.tagger import Tagger
from dlcli.nets.text import RecurrentTags
from dlcli.tokens import Vocabulary


def texts(count=300, length=10):
    """Return texts of letters a to e; the answer is whether the next letter comes before this one, none at the end."""
    x = torch.randint(1, 6, (count, length))
    y = torch.cat(((x[:, 1:] < x[:, :-1]).long(), torch.full((count, 1), IGNORED)), dim=1)
    x[0, 6:], y[0, 5:] = 0, IGNORED
    return Tokens(x, y)


def tagger(**options):
    """Return a small bidirectional tagger."""
    return Tagger(net=RecurrentTags(vocab=6, classes=2, width=16), classes=2, names=["up", "down"], **options)


def test_loss_and_scores_count_only_what_is_asked_for():
    rule, batch = tagger().eval(), texts(20)
    logits, asked = rule(batch.x), batch.y != IGNORED
    expected = F.cross_entropy(logits[asked], batch.y[asked])
    torch.testing.assert_close(rule.loss(batch), expected)
    halves = [rule.measure(Tokens(*(column[part] for column in batch))) for part in (slice(7), slice(7, 20))]
    scores = rule.score({name: torch.cat([half[name] for half in halves]) for name in halves[0]})
    assert scores["loss"] == pytest.approx(expected.item(), rel=1e-5)
    guess, truth = logits.argmax(2)[asked], batch.y[asked]
    assert scores["accuracy"] == pytest.approx((guess == truth).float().mean().item())
    assert scores["f1"] == pytest.approx(f1_score(truth, guess, average="macro", zero_division=0))


def test_it_learns_what_only_the_next_token_tells():
    rule, data = tagger(), texts()
    optimizer = torch.optim.Adam(rule.parameters(), lr=2e-2)
    for _ in range(120):
        optimizer.zero_grad()
        rule.loss(data).backward()
        optimizer.step()
    with torch.no_grad():
        measured = rule.eval().measure(texts(200))
    assert rule.score(measured)["accuracy"] > 0.97
    report = rule.report(measured)
    assert report["classes"]["up"]["support"] + report["classes"]["down"]["support"] == measured["count"].sum()


def test_it_shows_tags_below_the_text():
    vocabulary = Vocabulary(["<pad>", *"abcde"], "characters")
    rule = tagger(vocabulary=vocabulary.state()).eval()
    said = rule.show(Tokens(*(column[:2] for column in texts(2))))["tags"].splitlines()
    assert said[0] == "text, predicted, true: . up, 1 down"
    first = said[2:7]
    assert first[0] == first[-1] == "```"
    assert len(first[1]) == len(first[2]) == len(first[3]) == 6
    assert set(first[3]) <= {".", "1", " "}
