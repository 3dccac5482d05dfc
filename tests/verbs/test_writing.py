"""Language models from the command line: train, resume, sample, and judge a text of one's own."""

import json
from pathlib import Path

import pytest

SMALL = ("limit=0.1", "limit_valid=0.2", "epochs=2", "log.every=5")
NETS = {
    "gpt": ("model.net.width=32", "model.net.depth=1"),
    "rnn_lm": ("model.net.width=48",),
    "name_writer": ("model.net.width=48",),
}


def newest() -> Path:
    return max(Path("outputs").glob("*/*/run.json"), key=lambda path: path.parent.name).parent


def scores(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text())["scores"]


@pytest.mark.parametrize("family", NETS)
def test_a_run_is_evaluated_and_writes(dl, family):
    code, _, err = dl("train", f"model={family}", *SMALL, *NETS[family])
    assert code == 0, err
    run = newest()
    code, out, err = dl("eval", "mistakes=2", "see=[]")
    assert code == 0, err
    found = scores(run, "report-test.json")
    assert found["perplexity"] == pytest.approx(2.718281828 ** found["loss"], rel=1e-5)
    assert found["loss"] < 4.4  # 96 characters at random: 4.56
    assert (run / "figures/test-positions.png").is_file()
    texts = []
    for _ in range(2):
        code, out, err = dl("sample", "sampler=text", "sampler.length=20", "n=2", "seed=3")
        assert code == 0, err
        texts.append((run / "samples/text-seed3.txt").read_text())
    assert texts[0] == texts[1]
    assert texts[0].strip().splitlines()[0] in out


def test_a_prompt_from_a_file_and_one_that_cannot_be_written(dl, undrawn):
    assert dl("train", "model=rnn_lm", *SMALL, *NETS["rnn_lm"])[0] == 0
    Path("start.txt").write_text("The ", encoding="utf-8")
    code, out, err = dl("sample", "sampler=text", "sampler.file=start.txt", "sampler.length=10", "n=1")
    assert code == 0, err
    assert out.startswith("The ")
    Path("windows.txt").write_bytes(b"\xef\xbb\xbfThe\r\n")
    code, out, err = dl("sample", "sampler=text", "sampler.file=windows.txt", "sampler.length=10", "n=1")
    assert code == 0, err
    assert out.startswith("windows.txt: the byte order mark was left out\nThe\n")
    Path("latin1.txt").write_bytes(b"ab\xff")
    Path("null.txt").write_bytes(b"a\0")
    for words, code, said in (
        (('sampler.prompt="Größe"',), 2, "sampler.prompt: unknown characters: 'ß', 'ö'"),
        (("sampler.temperature=-1",), 2, "sampler.temperature must be a number >= 0"),
        (("sampler.top_k=1000",), 2, "sampler.top_k=1000: the vocabulary has 96 tokens"),
        (('sampler.prompt="a"', "sampler.file=start.txt"), 2, "one beginning only"),
        (("sampler.file=nowhere",), 3, "sampler.file=nowhere: no such file"),
        (("sampler.file=latin1.txt",), 3, "latin1.txt, line 1, byte 2: 0xff is not UTF-8"),
        (("sampler.file=null.txt",), 3, "null.txt, line 1, byte 1: NUL"),
        (("sampler.prompt=0",), 2, """must be a text or null: 0 is a number, '"0"' a text"""),
        (("sampler.beam=2", "sampler.top_k=3"), 2, "sampler.beam=2: a beam draws nothing"),
    ):
        found, _, err = dl("sample", "sampler=text", *words)
        assert (found, said in err) == (code, True), err


def test_a_text_of_ones_own_is_judged(dl, undrawn):
    assert dl("train", "model=gpt", *SMALL, *NETS["gpt"])[0] == 0
    run = newest()
    Path("mine.txt").write_bytes(b"The value of the expression\r\nis evaluated once.\r\n" * 20)
    Path("noise.txt").write_text("zqxj QXZV #@ |~ jjq" * 50, encoding="utf-8")
    Path("other.txt").write_text("naïve", encoding="utf-8")
    Path("short.txt").write_text("a", encoding="utf-8")
    bits = []
    for name in ("mine", "noise"):
        code, out, err = dl("eval", f"text={name}.txt")
        assert code == 0, err
        assert "perplexity" in out
        assert "bits_per_byte" in out
        bits.append(scores(run, "report-text.json")["bits_per_character"])
    assert bits[0] < bits[1]
    for name, said in (
        ("other", "text=other.txt: unknown characters: 'ï'"),
        ("short", "text=short.txt: 1 tokens, and at least 2"),
        ("nowhere", "text=nowhere.txt: no such file"),
    ):
        code, _, err = dl("eval", f"text={name}.txt")
        assert (code, said in err) == (3, True), err
    assert dl("train", "model=softmax", "epochs=1")[0] == 0
    code, _, err = dl("eval", "text=mine.txt")
    assert (code, "holds no language model" in err) == (2, True), err


def test_a_run_with_carried_states_goes_on_to_the_same_bits(dl):
    from safetensors.torch import load_file

    words = (
        "train",
        "model=rnn_lm",
        "epochs=2",
        "batch=8",
        "model.net.width=16",
        "model.carry=true",
        "schedule=constant",
        "limit_valid=0.1",
    )
    carried = ("data.source.order=carried", "data.source.context=16", "data.source.valid=0.4", "data.source.test=0.4")
    assert dl(*words, *carried, "save.steps=50")[0] == 0
    whole = load_file(newest() / "checkpoints/best.safetensors")
    assert dl(*words, *carried, "max_steps=700")[0] == 0
    assert dl("train", f"resume={newest()}", "max_steps=null")[0] == 0
    again = load_file(newest() / "checkpoints/best.safetensors")
    assert all(whole[name].equal(again[name]) for name in whole)
    assert "carried.part0" in whole


def test_what_a_model_writes_is_logged_after_every_epoch(dl, undrawn):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert dl("train", "model=rnn_lm", "limit=0.02", "limit_valid=0.05", "epochs=3", "model.net.width=8")[0] == 0
    log = EventAccumulator(str(newest())).Reload()
    (tag,) = [tag for tag in log.Tags()["tensors"] if "continuations" in tag]
    assert len(log.Tensors(tag)) == 3
