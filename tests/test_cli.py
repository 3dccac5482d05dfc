"""The command line as people use and misuse it: every error printed once, with its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli import cli

pytestmark = pytest.mark.usefixtures("undrawn")

QUICK = ("model=mlp", "data=iris", "epochs=2", "batch=32")
VAE = ("model=vae", "epochs=1", "limit=0.1", "model.importance=2")
BARE = ("model=linear", "data=polynomial")  # little to import in a process of its own


def newest() -> Path:
    """Return the run folder that was made last."""
    return sorted(Path("outputs").glob("*/*/run.json"), key=lambda path: path.parent.name)[-1].parent


def interrupted(*words: str) -> tuple[int, str, str]:
    """Start a command, press Ctrl-C after its first step, and return its exit code, output and errors."""
    command = [sys.executable, "-m", "dlcli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            next(line for line in process.stdout if line.startswith("step "))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, err


def test_bare_command_shows_examples(dl):
    code, out, _ = dl()
    assert code == 0
    assert "dl train model=vae" in out


def test_a_run_from_train_to_attack(dl, drawn):
    code, out, _ = dl("train", "model=softmax", "data=digits", "epochs=2")
    assert code == 0
    for word in (
        "device   cpu",
        "data     digits:",
        "weights",
        "tensorboard --logdir outputs",
        "done",
        "dl eval outputs/softmax-digits/",
    ):
        assert word in out
    run = newest()
    assert {"run.json", "report.json", "status.json", "scalars.csv", "checkpoints", "figures"} <= {
        p.name for p in run.iterdir()
    }
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    code, out, _ = dl("eval", "points=60")
    assert code == 0
    assert "accuracy" in out
    drawn = {p.name for p in (run / "figures").iterdir()}
    assert {"test-confusion.png", "test-roc.png", "test-calibration.png", "test-pca.png", "test-tsne.png"} <= drawn
    assert "valid-confusion.png" in drawn
    assert "valid-roc.png" not in drawn  # no training waits for curves
    code, out, _ = dl("attack", "attack=fgsm", "n=100")
    assert code == 0
    assert "robust accuracy" in out
    code, _, err = dl("sample")
    assert code == 2
    assert "does not generate" in err
    moved = run.rename("elsewhere")
    assert dl("eval", str(moved), "points=0")[0] == 0


def test_sampling_is_deterministic_by_seed(dl, trained):
    from safetensors.torch import load_file

    trained(*VAE)
    drawn = []
    for seed, out in ((1, "a"), (1, "b"), (2, "c")):
        assert dl("sample", "n=9", f"seed={seed}", f"out={out}")[0] == 0
        drawn.append(load_file(f"{out}/prior-seed{seed}.safetensors")["samples"])
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
    assert Path("a/prior-seed1.png").stat().st_size > 200


FAULTS = [
    (("train", "model=resent"), 2, ["model=resent: no such model", "options:", "lenet"]),
    (("train", "model=lent"), 2, ["did you mean lenet?"]),
    (("train", "optimizer.lrr=1"), 2, ["optimizer.lrr=1: no such key; did you mean optimizer.lr (default 0.001: "]),
    (("train", "epoch=3"), 2, ["epoch=3: no such key; did you mean epochs (default"]),
    (("train", "epochs=abc"), 2, ["epochs=abc: epochs must be a whole number >= 1"]),
    (("train", "epochs=0"), 2, ["epochs must be a whole number >= 1"]),
    (("train", "epochs=2.5"), 2, ["epochs must be a whole number >= 1"]),
    (("train", "batch=-4"), 2, ["batch must be a whole number >= 1"]),
    (("train", "optimizer.lr=-5"), 2, ["optimizer.lr must be a number above 0"]),
    (("train", "optimizer.lr=.nan"), 2, ["optimizer.lr must be a number above 0"]),
    (("train", "precision=fp8"), 2, ["precision must be one of auto, fp32, bf16, fp16"]),
    (("train", "deterministic=maybe"), 2, ["deterministic must be true or false"]),
    (("train", "optmizer=adam"), 2, ["optmizer=adam: no such key; did you mean optimizer? options: adagrad, adam"]),
    (("train", "hydra.verbose=true"), 2, ["hydra.verbose=true: Hydra's own keys steer sweeps; add -m"]),
    (("sample", "sampler.prompt=x"), 2, ["sampler.prompt=x: no such key; sampler=text has it"]),
    (("train", "model=gpt", "data=iris"), 2, ["data=iris has no context, vocab, vocabulary, which this model needs"]),
    (("train", "model=vae", "data=tones"), 2, ["data=tones has no height, width, which this model needs"]),
    (("train", "model=unet", "data=digits"), 2, ["segmentation needs one for each pixel"]),
    (("train", "model=lenet", "data=discs"), 2, ["these data have an answer for each part of an example"]),
    (("eval", "data=digits"), 2, ["a run keeps the data that it was trained with"]),
    (("train", "+epochz=3"), 2, ["no such key; did you mean epochs"]),
    (("train", "epochs"), 2, ["epochs: expected KEY=VALUE"]),
    (("train", "name=a=b"), 2, ["cannot be read"]),
    (
        ("train", "layers={net.0.*:{lr:1e-4}"),
        2,
        ["dl: layers={net.0.*:{lr:1e-4}: cannot be read; { and } do not match"],
    ),
    (("train", "seed=1,2"), 2, ["several values need -m"]),
    (("sample", "sampler=text", "sampler.prompt=a, b"), 2, ["put it in quotes: 'sampler.prompt=\"a, b\"'"]),
    (("train", "plugins=[nope.nets]"), 2, ["plugins=[nope.nets]: no such package is installed"]),
    (("train", "plugins=[./mine]"), 2, ["plugins=[./mine]: no such package is installed"]),
    (("eval", "attack=pgd"), 2, ["attack: only `dl attack` has it: dl attack [RUN] attack=NAME"]),
    (("train", "sampler=prior"), 2, ["sampler: only `dl sample` and `dl eval` have it: dl sample [RUN] sampler=NAME"]),
    (("train", "name="), 2, ["name=-digits: letters, digits", "at the start"]),
    (("train", "data=table", "data.source.path=.", "data.source.target=y"), 3, ["a folder, where a file is needed"]),
    (
        ("train", "model=lenet", "data=iris"),
        2,
        ["data=iris has no", "which this model needs; data that fits:", "digits"],
    ),
    (("train", "model=linear", "data=iris"), 2, ["data=iris has no target_mean, target_std, targets", "diabetes"]),
    (("train", "data=table"), 2, ["data.source.path: must be given (CSV"]),
    (("train", "device=cuda"), 2, ["device=cuda: 0 GPUs found", "use device=cpu or device=auto"]),
    (("train", "data=mnist", "paths.data=nowhere"), 3, ["nowhere", "train-images-idx3-ubyte.gz", "data=digits"]),
    (("train", "data=iris", "batch=200"), 3, ["90 examples but a batch takes 200", "set batch=90"]),
    (("train", "model=cnn", "batch=1"), 2, ["batch=1: batch normalization"]),
    (
        ("train", "optimizer=sgd", "optimizer.lr=1.0e+30", "data=iris"),
        4,
        ["the loss of player 'model' is", "optimizer.lr"],
    ),
    (
        ("train", "paths.outputs=/proc/nowhere", "data=iris"),
        7,
        ["/proc/nowhere: cannot be written", "paths.outputs=DIR"],
    ),
    (("train", "monitor=acuracy", "data=iris"), 2, ["monitor=acuracy: no such score; the model has"]),
    (("train", "model.net.widths=[0]"), 2, ["model.net.widths must be a list, each of it a whole number >= 1"]),
    (("train", "-m", "seed=range(3,1)"), 2, ["seed=range(3,1): it holds no value"]),
    (("train", "players.critic.lr=0.1", "data=iris"), 2, ["has no such player; it has model"]),
    (("train", "resume=nothing"), 6, ["nothing: no such run", "dl ls runs"]),
    (("train", "--config-dir", "nowhere"), 2, ["--config-dir nowhere: no such directory"]),
    (("eval",), 6, ["no runs yet; start one with `dl train"]),
    (("sample", "nothing"), 6, ["nothing: no such run"]),
    (("attack", "attack=fgms"), 2, ["did you mean fgsm?"]),
    (("attack", "attack.eps=-1"), 2, ["attack.eps must be a number >= 0"]),
    (("eval", "split=tset"), 2, ["split must be one of train, valid, test"]),
    (("ls", "modells"), 2, ["did you mean models?"]),
    (("train", "model=null"), 2, ["model=null: no such model"]),
    (("train", "~epochs"), 2, ["keys cannot be removed"]),
    (("train", "model.net=null"), 2, ["model.net holds other keys; set one of them"]),
    (("train", "data.classes=5"), 2, ["a fact of the data"]),
    (("train", "optimizer.betas=[0.9]", "data=iris"), 2, ["the optimizer cannot be made with these settings"]),
    (("train", "model.net.widths=[a]", "data=iris"), 2, ["model.net.widths must be a list, each of it a whole number"]),
    (("train", "players.model.lrr=1", "data=iris"), 2, ["lrr"]),
    (("train", "layers={net.*:{lrr:1}}", "data=iris"), 2, ["Adam has no setting 'lrr'"]),
    (("train", "name=../../x", "data=iris"), 2, ["it becomes the name of a folder"]),
    (("train", "-m", "model=mlp,lenet", "data=iris"), 2, ["data=iris has no channels"]),
    (("show", "lenet"), 2, ["did you mean model=lenet?"]),
    (("train", "model.net.outputs=7", "data=iris"), 2, ["the net has 7 outputs for 3 classes"]),
    (("train", "model.net.inputs=7", "data=iris"), 2, ["model=mlp does not fit data=iris"]),
    (("trian",), 2, ["No such command 'trian'. Did you mean 'train'?"]),
    (("train", "--dri-run"), 2, ["No such option", "--dry-run"]),
]


@pytest.mark.parametrize(
    ("words", "code", "texts"), FAULTS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_bad_input_gets_a_clear_line_and_its_exit_code(dl, words, code, texts):
    found, out, err = dl(*words)
    assert found == code, err
    for text in texts:
        assert text in err
    assert "Traceback" not in out + err
    assert not list(Path().glob("outputs/*/*/checkpoints/*.tmp*"))


def test_all_faults_are_told_at_once(dl):
    _, _, err = dl("train", "model=resent", "epochs=abc", "optimizer.lrr=1", "batch=0")
    assert [word in err for word in ("model=resent", "epochs=abc", "optimizer.lrr=1", "batch=0")] == [True] * 4


def test_a_config_error_imports_no_torch():
    code = """
import sys
sys.argv = ["dl", "train", "epochs=abc"]
from dlcli.cli import main
try:
    main()
except SystemExit as leave:
    print(leave.code, "torch" in sys.modules)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2 False"
    assert time.monotonic() - began < 10


def test_a_monitored_score_knows_which_way_is_up(dl):
    for monitor, better in (("loss", min), ("accuracy", max)):
        assert dl("train", "data=iris", "batch=16", "epochs=5", f"monitor={monitor}", "optimizer.lr=0.05")[0] == 0
        rows = (line.split(",") for line in (newest() / "scalars.csv").read_text().splitlines())
        curve = [float(value) for _, name, value in rows if name == f"valid/{monitor}"]
        status = json.loads((newest() / "status.json").read_text())
        assert status["score"] == better(curve)


def test_double_dash_keys_are_understood(dl):
    code, out, err = dl("train", "--model", "mlp", "--data=iris", "--epochs", "1", "--dry-run")
    assert code == 0
    assert "note: read --epochs 1 as epochs=1" in err
    assert "dl train model=mlp data=iris epochs=1" in out
    assert not Path("outputs").exists()


def test_debug_shows_the_traceback(dl):
    assert "Traceback" in dl("train", "epochs=abc", "--debug")[2]


def test_a_sweep_runs_every_job_and_tells_means_and_failures(dl):
    words = (*BARE, "batch=400", "epochs=2", "seed=1,2", "optimizer=sgd", "optimizer.lr=0.1,1.0e+30")
    code, out, err = dl("train", "-m", *words, "hydra/launcher=basic")
    assert code == 11
    assert "2 of 4 jobs failed" in err
    assert err.count("the loss of player") == 2
    assert "±" in out
    states = sorted(json.loads(path.read_text())["state"] for path in Path("outputs").glob("*/*/status.json"))
    assert states == ["done", "done", "stopped", "stopped"]


def test_a_job_that_fails_in_a_process_of_its_own_is_told(dl):
    code, _, err = dl("train", "-m", *BARE, "batch=400", "epochs=2", "optimizer=sgd", "optimizer.lr=1.0e+30")
    assert code == 11
    assert err.count("the loss of player") == 1
    (path,) = Path("outputs").glob("*/*/status.json")
    assert json.loads(path.read_text())["state"] == "stopped"


def test_a_sweep_runs_in_parallel_with_a_launcher_that_others_wrote(dl):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *BARE, "epochs=2", "seed=1,2")
    code, out, err = dl("train", "-m", *words)
    assert code == 0, err
    assert "±" in out
    assert len(list(Path("outputs").glob("linear-polynomial/*/checkpoints/best.safetensors"))) == 2


def test_a_sweep_finds_a_bad_value_before_its_first_job(dl):
    code, _, err = dl("train", "-m", *QUICK[:3], "batch=32,0")
    assert code == 2
    assert "batch=0: batch must be" in err
    assert not Path("outputs").exists()


def test_resume_continues_a_finished_run_and_doubles_no_points(dl):
    assert dl("train", *QUICK, "log.every=1")[0] == 0
    code, out, _ = dl("train", "resume", "epochs=4")
    assert code == 0
    assert "done" in out
    run = newest()
    assert json.loads((run / "status.json").read_text())["epoch"] == 4
    steps = [line.split(",")[0] for line in (run / "scalars.csv").read_text().splitlines() if ",train/loss," in line]
    assert steps == [str(i) for i in range(1, len(steps) + 1)]
    assert dl("train", "-m", *QUICK[:2], "epochs=4", "batch=32", "seed=0", "hydra/launcher=basic")[0] == 0
    assert (run / "checkpoints/best.safetensors").stat().st_size == (
        newest() / "checkpoints/best.safetensors"
    ).stat().st_size
    code, _, err = dl("train", f"resume={run}", "optimizer.lr=1")
    assert code == 2
    assert "cannot change when a run is resumed" in err


def test_ctrl_c_saves_and_names_the_command_that_goes_on():
    code, out, err = interrupted("train", *BARE, "epochs=100000", "batch=32")
    assert code == 130, err
    assert "dl train resume=outputs/linear-polynomial/" in err
    assert "Traceback" not in out + err
    assert (newest() / "checkpoints/manifest.jsonl").exists()


def test_ctrl_c_after_the_last_word_shows_no_traceback():
    code = "import atexit, os, signal; from dlcli import cli; atexit.register(os.kill, os.getpid(), signal.SIGINT)"
    command = [sys.executable, "-c", f"{code}; cli.main()", "ls", "optimizers"]
    for wrap, expected in (([], -signal.SIGINT), (["sh", "-c", "trap '' INT; exec \"$@\"", "sh"], 0)):
        done = subprocess.run([*wrap, *command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (expected, "")  # a shell reports 130
        assert "adam" in done.stdout


def test_your_own_configs_join_and_win(dl, tmp_path):
    own = tmp_path / "mine"
    (own / "optimizer").mkdir(parents=True)
    (own / "optimizer/adam.yaml").write_text("_target_: torch.optim.Adam\n_partial_: true\nlr: 0.25\n")
    (own / "optimizer/tiny.yaml").write_text("_target_: torch.optim.SGD\n_partial_: true\nlr: 1.0e-9\n")
    assert dl("train", "--config-dir", str(own), *QUICK, "epochs=1")[0] == 0
    assert json.loads((newest() / "run.json").read_text())["config"]["optimizer"]["lr"] == 0.25
    assert dl("train", "--config-dir", str(own), *QUICK, "epochs=1", "optimizer=tiny")[0] == 0
    (own / "optimizer/tiny.yaml").rename(own / "tiny.yaml")
    code, _, err = dl("train", "--config-dir", str(own), "optimizer=tiny")
    assert code == 2
    assert "tiny.yaml must lie in mine/optimizer/" in err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# @package _global_\nmodel: [1\n", ", line 3: no YAML: expected"),
        ("", ": a config is made of keys and values, KEY: VALUE; this has none"),
        ("model:\n  net: 3\n", ": the first line of every file in model/ is `# @package _global_`"),
        ("# @package _global_\nmodel: 5\n", ": model: holds keys, and not 5"),
        ("# @package _global_\ndefaults:\n  - mlpp\n  - _self_\n", ": defaults: no model is called mlpp"),
    ],
)
def test_faults_of_your_own_configs_name_the_file(dl, tmp_path, text, fault):
    own = tmp_path / "mine/model/own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(text)
    code, _, err = dl("train", "--config-dir", str(tmp_path / "mine"), "model=own")
    assert (code, err.count("\n"), f"dl: {own}{fault}" in err) == (2, 1, True), err


@pytest.mark.parametrize(
    ("verb", "told"), [("eval", "interrupted\n"), ("attack", "interrupted; the same command goes")]
)
def test_every_verb_says_that_it_was_interrupted(dl, monkeypatch, verb, told):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dlcli.arguments.run_and_config", stop)
    code, out, err = dl(verb)
    assert code == 130
    assert f"dl: {told}" in err
    assert not out


@pytest.mark.parametrize("width", ["80", "120"])
def test_help_cuts_nothing(width):
    def told(*words):
        return CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": width}).output

    keys = told("train")
    assert "…" not in keys
    assert "freeze=[net.layers.1.*]" in "".join(re.findall(r"freeze=\S*\s+\S+", keys)[-1].split())
    assert not re.search(r"\.\.\.$", told().partition("Commands:")[2], re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (("model=skipgram", "max_steps=1"), "sampler=text sampler.prompt=WORD"),
        (("model=restoration", "max_steps=1", "limit=0.05", "limit_valid=0.1"), "sampler.file=PHOTO.png"),
    ],
)
def test_the_next_command_says_what_a_sample_needs(dl, words, needed):
    code, out, _ = dl("train", *words)
    assert code == 0
    assert re.search(rf"dl sample outputs/\S+ .*{re.escape(needed)}", out)


def test_resume_remembers_new_limits_and_names_the_right_one(dl):
    assert dl("train", *QUICK, "max_steps=3")[0] == 0
    run = f"resume={newest()}"
    code, out, _ = dl("train", run)
    assert code == 0
    assert "already finished" in out
    assert "max_steps=6" in out
    assert "max_steps=6" in dl("train", run, "max_steps=2")[1]  # not of what was asked for
    assert dl("train", run, "max_steps=5")[0] == 0
    assert "max_steps=10" in dl("train", run)[1]
    names = [line.split(",")[1] for line in (newest() / "scalars.csv").read_text().splitlines()]
    assert names.count("valid best/accuracy") == 2


def test_resume_without_a_run_to_finish_names_the_newest_and_the_way_on(dl):
    assert dl("train", *QUICK, "epochs=2")[0] == 0
    assert dl("train", *QUICK, "epochs=1")[0] == 0
    run = newest()
    before = {path: path.read_bytes() for path in Path("outputs").rglob("*") if path.is_file()}
    for words in (("resume",), ("resume=last",), ("resume", "epochs=1")):
        code, _, err = dl("train", *words)
        said = f"no run is unfinished; of the newest finished one, {run}: it goes on longer with dl train"
        assert (code, err) == (2, f"dl: resume=last: {said} resume={run} epochs=2\n")
    assert before == {path: path.read_bytes() for path in Path("outputs").rglob("*") if path.is_file()}
    assert dl("train", "resume", "epochs=2")[0] == 0
    assert (newest(), json.loads((run / "status.json").read_text())["epoch"]) == (run, 2)
    told, report = (run / "report.json").read_text(), run / "report.json"
    report.write_bytes(before[report])  # as if it had been killed between its last checkpoint and its new report
    assert dl("train", "resume")[0] == 0
    assert (
        json.loads(report.read_text())["scores"] == json.loads(told)["scores"] != json.loads(before[report])["scores"]
    )


def test_another_length_leaves_out_no_stage_and_repeats_none(dl):
    words = ("train", "model=dbn", "limit=0.1", "limit_valid=0.1")
    assert dl(*words, "epochs=8", "max_time=1e-6")[0] == 0  # one step of the first stage
    run = newest()
    code, _, err = dl("train", f"resume={run}", "epochs=12", "max_time=null")
    assert code == 0, err
    code, out, _ = dl("train", f"resume={run}")
    assert (code, "its stages are over, and more of them take a new run" in out) == (0, True)
    before = (run / "run.json").read_bytes()
    code, _, err = dl("train", f"resume={run}", "epochs=24")
    assert (code, "they would be another stage" in err, err.count("\n")) == (2, True, 1)
    assert before == (run / "run.json").read_bytes()


def test_a_fork_without_anything_to_do_is_refused(dl):
    assert dl("train", *QUICK, "max_steps=3")[0] == 0
    runs = {*Path("outputs").glob("*/*")}
    code, _, err = dl("train", f"resume={newest()}", "fork=true", "optimizer.lr=0.1", "max_steps=2")
    assert (code, err) == (2, "dl: fork=true: 3 steps are done, of 2; raise epochs or max_steps\n")
    assert runs == {*Path("outputs").glob("*/*")}


def test_a_run_whose_patience_has_run_out_is_finished_too(dl):
    assert dl("train", *QUICK, "epochs=50", "optimizer.lr=1.0e-30", "patience=1")[0] == 0
    run, waited = newest(), 1
    assert json.loads((run / "status.json").read_text())["epoch"] < 50
    code, _, err = dl("train", "resume", "epochs=60")
    assert (code, f"with dl train resume={run} patience={2 * waited}\n" in err) == (2, True)
    assert "already finished" in dl("train", f"resume={run}")[1]
    code, out, _ = dl("train", "resume", "patience=2")
    assert (code, "resumed" in out) == (0, True)


def test_a_deadline_of_nothing_still_ends_well(dl):
    assert dl("train", "data=iris", "max_time=1.0e-9")[0] == 0


def test_a_deadline_names_the_stages_that_were_not_reached(dl):
    small = ("data=digits8", "model=dbn", "model.generator.widths=[16,16]", "epochs=6")
    code, out, _ = dl("train", *small, "max_time=1.0e-9")
    assert (code, "time was up before layer1, head, model; go on: dl train resume=" in out) == (0, True)
    code, out, err = dl("train", f"resume={newest()}", "max_time=null")
    assert (code, "time was up" in out) == (0, False), err
    assert "accuracy" in out


def test_a_flipped_bit_in_a_checkpoint_is_noticed(dl):
    assert dl("train", *QUICK, "save.steps=1")[0] == 0
    newer, older = sorted((newest() / "checkpoints").glob("step-*"), key=lambda path: -path.stat().st_mtime_ns)
    for path, expected in ((newer, 0), (older, 5)):
        content = bytearray(path.read_bytes())
        content[-1000] ^= 1
        path.write_bytes(content)
        code, out, err = dl("eval", "points=0")
        assert code == expected
        assert "SHA-256" in out + err


def test_a_run_has_one_writer(dl, trained):
    from dlcli.lock import held

    with held(trained(*QUICK)):
        code, _, err = dl("train", "resume", "epochs=5")
    assert code == 6
    assert "in use by process" in err
    assert dl("train", "resume", "epochs=5")[0] == 0


def test_verify_tells_whether_an_interruption_changes_anything(dl, monkeypatch):
    from dlcli.engine import randomness

    assert dl("train", *QUICK, "model.net.dropout=0.5", "ema=0.9")[0] == 0
    before = {path: path.read_bytes() for path in newest().rglob("*") if path.is_file()}
    code, out, err = dl("verify", "steps=5")
    assert code == 0, err
    assert "equal to the bit" in out
    assert dl("verify", "steps=1")[0] == 2
    monkeypatch.setattr(randomness, "restore", lambda tensors, plain: None)  # a resume that forgets the random streams
    code, _, err = dl("verify", "steps=5")
    assert code == 5
    assert "differ after an interruption" in err
    assert before == {path: path.read_bytes() for path in newest().rglob("*") if path.is_file()}


def test_a_fork_changes_what_a_resume_may_not(dl, trained):
    first = trained(*QUICK)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    code, _, err = dl("train", f"resume={first}", "optimizer.lr=0.5", "clip=2", "epochs=3")
    assert code == 2
    assert "optimizer.lr: 0.001 -> 0.5" in err
    assert "clip: None -> 2" in err
    assert "fork=true" in err
    assert dl("train", f"resume={first}", "optimizer.lr=0.5", "epochs=3", "log.every=1", "fork=true")[0] == 0
    assert newest() != first
    record = json.loads((newest() / "run.json").read_text())
    assert record["config"]["optimizer"]["lr"] == 0.5
    assert record["fork"]["run"] == str(first)
    assert ",0.5\n" in (newest() / "scalars.csv").read_text().replace("\r", "")  # the rate that it learned with
    assert before == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}


def test_a_fork_may_take_another_optimizer_and_schedule(dl):
    assert dl("train", *QUICK, "optimizer=sgd", "schedule=plateau")[0] == 0
    first = newest()
    words = (f"resume={first}", "optimizer=adam", "schedule=cosine", "optimizer.lr=0.002", "freeze=[net.layers.1.*]")
    words += ("epochs=3",)
    code, _, err = dl("train", *words)
    assert code == 2
    assert "optimizer=adam: a whole group cannot change" in err
    assert dl("train", *words, "fork=true")[0] == 0
    assert newest() != first
    config = json.loads((newest() / "run.json").read_text())["config"]
    assert config["optimizer"]["_target_"].endswith("Adam")
    assert config["optimizer"]["lr"] == 0.002
    assert config["freeze"] == ["net.layers.1.*"]
    code, _, err = dl("train", f"resume={first}", "data=iris", "fork=true", "epochs=3")
    assert code == 2
    assert "optimizer and schedule with fork=true" in err
    code, _, err = dl("train", f"resume={first}", f"init_from={first}", "fork=true", "epochs=3")
    assert code == 2
    assert "init_from" in err


def test_changed_data_of_your_own_is_noticed(dl):
    rows = [f"{i % 7},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(100)]
    Path("own.csv").write_text("\n".join(["a,b,kind", *rows]))
    words = ("data=table", "data.source.path=own.csv", "data.source.target=kind")
    assert dl("train", "model=mlp", *words, "epochs=1", "batch=16")[0] == 0
    assert dl("eval", "points=0")[0] == 0
    Path("own.csv").write_text("\n".join(["a,b,kind", *reversed(rows)]))
    code, _, err = dl("eval", "points=0")
    assert code == 3
    assert "use the same data" in err


def test_ctrl_c_stops_a_sweep_and_tells_what_was_done():
    code, out, err = interrupted("train", "-m", *BARE, "epochs=100000", "seed=1,2,3")
    assert code == 130, err
    assert "the sweep was stopped" in err
    assert "interrupted" in out
    assert len(list(Path("outputs").glob("linear-polynomial/*"))) == 1


def test_lists_and_shows(dl):
    assert "LeNet" in dl("ls", "models", "len*")[1]
    assert "vae" not in dl("ls", "models", "len*")[1]
    assert "beta_vae" in dl("ls", "models", "vae")[1]
    assert "adam" in dl("ls", "optimizers")[1]
    code, out, _ = dl("show", "model=lenet_lecture", "epochs=3")
    assert code == 0
    assert "51,902" in out
    assert "419,538" in out
    assert "command line" in out
    assert "epochs  " in out
    for family in ("linear", "mlp_regression"):
        assert "total" in dl("show", f"model={family}")[1]


def test_sizes_are_those_of_the_data_that_a_training_would_have(dl, monkeypatch):
    monkeypatch.setenv("DL_OFFLINE", "0")
    total = {}
    for words in ((), ("data.source.level=words", "data.source.size=500")):
        out = dl("show", "model=gpt", "data=topics", *words)[1]
        total[len(words)] = int(re.search(r"total +([\d,]+)", out)[1].replace(",", ""))
        assert "warning" not in out
    assert total[2] - total[0] == (500 - 96) * 128  # rows of the embedding
    code, out, _ = dl("show", "model=softmax", "data=mnist", "data.source.valid=100", "paths.data=nowhere")
    assert (code, "7,850" in out) == (0, True)
    assert (
        "warning  sizes are those of data=mnist as it comes, since it was not loaded:\n4 of 4 files are missing" in out
    )
    assert os.environ["DL_OFFLINE"] == "0"  # forbidden only while it looked


def test_help_shows_groups_and_keys(dl):
    code, out, _ = dl("train", "--help")
    assert code == 0
    for word in ("epochs", "passes over the training data", "optimizer.lr", "lenet", "cosine"):
        assert word in out
    assert ["batch", "int", "64"] in [line.split()[:3] for line in out.splitlines()]
    assert ["optimizer.lr", "float", "1.0e-3"] in [line.split()[:3] for line in out.splitlines()]


def test_doctor(dl):
    code, out, _ = dl("doctor")
    assert code == 0
    assert "everything works" in out


def test_overfit_learns_a_batch_by_heart(dl):
    code, out, _ = dl("train", "model=mlp", "overfit=1", "epochs=100", "limit=0.1", "augment=shift")
    assert code == 0
    assert "warning  limit=0.1 augment=shift: no effect; overfit=1 learns its batches as they are" in out
    assert json.loads((newest() / "report.json").read_text())["scores"]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda record: record.clear(), 6),
        (lambda record: record.update(config=5), 6),
        (lambda record: record["config"].pop("model"), 6),
        (lambda record: record["config"].update(model={"a": 1}), 6),
        (lambda record: record["config"].update(data={}), 3),
        (lambda record: record["config"]["model"]["net"].pop("inputs"), 2),
        (lambda record: record["config"]["model"]["net"].update(inputs=7), 5),
        (lambda record: record["config"]["model"].update(_target_="os.system"), 8),
    ],
)
def test_a_damaged_record_is_refused_in_a_line(dl, trained, damage, code):
    path = trained(*QUICK) / "run.json"
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    found, out, err = dl("eval", "points=0")
    assert found == code, err
    assert "Traceback" not in out + err
    assert "fault of dl itself" not in err


def test_text_that_is_no_record_is_refused_in_a_line(dl, trained):
    run = trained(*QUICK)
    for content in ("", "[1]", "{", "[" * 100_000, "\x00" * 100):
        (run / "run.json").write_text(content)
        code, _, err = dl("eval")
        assert code == 6
        assert "damaged" in err


def test_an_attack_on_what_does_not_classify_is_refused(dl, trained):
    trained(*VAE)
    code, _, err = dl("attack")
    assert code == 2
    assert "does not classify" in err


def test_too_much_at_once_is_out_of_memory(dl, trained):
    trained(*VAE)
    code, _, err = dl("sample", "n=100000000000")
    assert code == 9
    assert "out of memory" in err
