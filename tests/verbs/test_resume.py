"""Going on with a run whose data have changed, that was moved, or that a stranger made."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


def changed(run, **changes):
    """Put other values into the config of a run."""
    record = json.loads((run / "run.json").read_text())
    record["config"] |= changes
    (run / "run.json").write_text(json.dumps(record))


def test_other_data_than_the_run_was_trained_with_are_refused_and_leave_no_trace(dl):
    rows = [f"{i % 7},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(100)]
    Path("own.csv").write_text("\n".join(["a,b,kind", *rows]))
    words = ("data=table", "data.source.path=own.csv", "data.source.target=kind", "epochs=1", "batch=16")
    assert dl("train", "model=mlp", *words)[0] == 0
    (run,) = (path.parent for path in Path("outputs").glob("*/*/run.json"))
    before = (run / "run.json").read_bytes()
    Path("own.csv").write_text("\n".join(["a,b,kind", *reversed(rows)]))
    for words in (("train", f"resume={run}", "epochs=2"), ("verify", str(run), "steps=2"), ("eval", str(run))):
        code, _, err = dl(*words)
        assert code == 3
        assert err.startswith("dl: the data has sha256=")
    assert (run / "run.json").read_bytes() == before
    assert dl("train", f"resume={run}", "epochs=2", "fork=true")[0] == 0  # a run of its own
    Path("own.csv").write_text("\n".join(["a,b,kind", *rows]))
    assert dl("train", f"resume={run}", "epochs=2")[0] == 0


def test_where_things_lie_is_for_the_command_to_say(dl, trained, tmp_path, monkeypatch):
    run = trained("model=softmax", "data=iris", "epochs=1")
    changed(run, paths={"data": "of/a/stranger", "outputs": str(tmp_path / "elsewhere")})
    assert dl("train", f"resume={run}", "epochs=2", "fork=true")[0] == 0
    assert not (tmp_path / "elsewhere").exists()
    assert len(list(tmp_path.glob("outputs/softmax-iris/*"))) == 2
    monkeypatch.setenv("DL_DATA", "of/this/machine")
    assert dl("train", f"resume={run}", "epochs=2")[0] == 0
    assert json.loads((run / "run.json").read_text())["config"]["paths"] == {
        "data": "of/this/machine",
        "outputs": "outputs",
    }


def test_the_commands_that_go_on_say_again_where_things_lie(dl, tmp_path):
    words = ("train", "model=softmax", "data=iris", f"paths.data={tmp_path}")
    told = dl(*words, "epochs=1")[1].partition("next ")[2].splitlines()
    assert [line.endswith(f" paths.data={tmp_path}") for line in told] == [True] * len(told)
    _, out, err = dl(*words, "epochs=1000", "max_time=1e-6")
    assert f"paths.data={tmp_path}" in (out + err).splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"name": "${oc.env:HOME}"}, 8, "it asks for values of this machine with ${...}"),
        ({"batch": "many"}, 2, "batch=many"),
        ({"optimizer": None}, 6, "it has no optimizer"),
    ],
)
def test_verify_trusts_a_record_no_more_than_resume_does(dl, trained, changes, code, said):
    run = trained("model=softmax", "data=iris", "epochs=1")
    changed(run, **changes)
    for words in (("verify", str(run), "steps=2"), ("train", f"resume={run}", "epochs=2")):
        found, _, err = dl(*words)
        assert (found, said in err) == (code, True), err
