"""`dl eval` of a run whose folders are not there, or cannot be written."""

import shutil

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


def test_folders_that_git_has_dropped_are_made_and_one_that_cannot_be_is_told(dl, trained):
    run = trained("model=softmax", "data=digits8", "epochs=1", "limit=0.2")
    for name in ("figures", "samples"):
        shutil.rmtree(run / name)
    assert dl("eval", str(run), "points=0", "see=[]")[0] == 0
    assert {"test-confusion.png", "test-worst-input.png"} <= {path.name for path in (run / "figures").iterdir()}
    shutil.rmtree(run / "figures")
    (run / "figures").write_text("a file, not a folder")
    code, out, err = dl("eval", str(run), "points=0", "see=[]")
    assert (code, "warning: figures cannot be written" in out) == (7, True)
    assert err.startswith(f"dl: {run}/figures/test-worst-")
