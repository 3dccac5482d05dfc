"""The user's own CSV and Parquet: what is inferred, filled in, dropped and refused."""

import builtins

import pytest
import torch

from dlcli.data.splits import check
from dlcli.data.table import TableFile
from dlcli.errors import ConfigError, DataError


@pytest.fixture
def load(tmp_path):
    def run(text, target="y", name="own.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return TableFile(path=str(path), target=target, **options).load(tmp_path / "data")

    return run


def rows(count=20, line="{i},{j},{c}"):
    return "".join(line.format(i=i, j=i * 0.5, c="ab"[i % 2]) + "\n" for i in range(count))


def whole(splits):
    """Return all rows in order of their first feature."""
    x = torch.cat([part.x for part in splits[:3]])
    y = torch.cat([part.y for part in splits[:3]])
    order = x[:, 0].argsort()
    return x[order], y[order]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("prefix", ["", "\ufeff"])
def test_separators_and_byte_order_mark(load, mark, prefix):
    splits = load(prefix + ("p,q,y\n" + rows()).replace(",", mark))
    assert [part.size for part in splits[:3]] == [12, 4, 4]
    x, y = whole(splits)
    assert torch.equal(x, torch.stack([torch.arange(20.0), torch.arange(20.0) / 2], 1))
    assert torch.equal(y, torch.arange(20) % 2)
    facts = splits.facts
    assert (facts["features"], facts["feature_names"]) == (2, ["p", "q"])
    assert (facts["classes"], facts["names"], facts["labels"]) == (2, ["a", "b"], 1)
    assert facts["mean"] == pytest.approx(splits.train.x.mean(0).tolist())
    check(splits, facts["classes"])
    for part in splits[:3]:
        assert part.y.float().mean() == 0.5


def test_quotes_blank_lines_and_windows_ends(load):
    splits = load('p,"q, r",y\r\n' + "".join(f'{i},"{i}",{"ab"[i % 2]}\r\n\r\n' for i in range(10)))
    assert splits.facts["feature_names"] == ["p", "q, r"]
    assert torch.equal(*whole(splits)[0].unbind(1))


def test_categories_become_sorted_indicators(load):
    text = "n,colour,y\n" + "".join(f"{i},{['red', 'blue', ''][i % 3]},{i % 2}\n" for i in range(30))
    splits = load(text)
    assert splits.facts["feature_names"] == ["n", "colour=blue", "colour=missing", "colour=red"]
    x, _ = whole(splits)
    assert x[:3, 1:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert (x[:, 1:].sum(1) == 1).all()


def test_missing_numbers_get_the_training_mean_and_a_flag(load):
    marks = ["", "NA", "?", "nan", "NULL"]
    text = "n,q,y\n" + "".join(f"{i},{marks[i // 4 % 5] if i % 4 == 0 else i},{'ab'[i % 2]}\n" for i in range(40))
    splits = load(text)
    assert splits.facts["feature_names"] == ["n", "q", "q missing"]
    train = splits.train.x
    known = train[train[:, 2] == 0]
    assert torch.equal(known[:, 0], known[:, 1])
    for part in splits[:3]:
        gaps = part.x[:, 2] == 1
        assert torch.equal(gaps, part.x[:, 0] % 4 == 0)
        assert torch.allclose(part.x[gaps, 1], known[:, 1].mean())
    assert any("'q': 10 missing values became the training mean" in note for note in splits.facts["notes"])
    check(splits, 2)


def test_a_column_without_any_value_is_left_out(load):
    splits = load("n,q,y\n" + "".join(f"{i},,{'ab'[i % 2]}\n" for i in range(40)))
    assert splits.facts["feature_names"] == ["n"]
    assert any("'q' left out: it has no value" in note for note in splits.facts["notes"])
    with pytest.raises(DataError, match="features are needed"):
        load("q,y\n" + "".join(f",{'ab'[i % 2]}\n" for i in range(40)))


def test_rows_without_an_answer_are_dropped(load):
    splits = load("p,q,y\n" + rows() + "99,1,\n98,1,NA\n")
    assert whole(splits)[0][:, 0].max() == 19
    assert "2 of 22 rows dropped: no 'y'" in splits.facts["notes"]


@pytest.mark.parametrize(
    ("target", "task", "kind"),
    [
        (lambda i: i % 3, "auto", ["0", "1", "2"]),
        (lambda i: [9, 64, 100][i % 3], "auto", ["9", "64", "100"]),  # in order of value, not of spelling
        (lambda i: i % 3, "value", None),
        (lambda i: i, "auto", None),  # 30 distinct whole numbers
        (lambda i: i / 2, "auto", None),
        (lambda i: i % 2 + 0.5, "auto", None),
        (lambda i: i % 2 + 0.5, "class", ["0.5", "1.5"]),
        (lambda i: "cab"[i % 3], "auto", ["a", "b", "c"]),
    ],
)
def test_the_task(load, target, task, kind):
    splits = load("p,y\n" + "".join(f"{i},{target(i)}\n" for i in range(30)), task=task)
    _, y = whole(splits)
    if kind is None:
        assert y.tolist() == [[target(i)] for i in range(30)]
        assert splits.facts["targets"] == 1
        assert "classes" not in splits.facts
        assert splits.facts["target_mean"] == pytest.approx([splits.train.y.mean().item()])
    else:
        assert [kind[c] for c in y] == [str(target(i)) for i in range(30)]
        assert splits.facts["names"] == kind
        assert "targets" not in splits.facts


def test_drop_leaves_columns_out(load):
    splits = load("p,name,y\n" + "".join(f"{i},person {i},{i % 2}\n" for i in range(20)), drop=["name"])
    assert splits.facts["feature_names"] == ["p"]


def test_counts_and_seed(load):
    text = "p,q,y\n" + rows(50)
    one, other = load(text, valid=5, test=10), load(text, valid=5, test=10, split_seed=1)
    assert [part.size for part in one[:3]] == [35, 5, 10]
    assert not torch.equal(one.test.x, other.test.x)


def test_a_constant_column_divides_by_one(load):
    splits = load("p,q,y\n" + "".join(f"{i},0.1,{'ab'[i % 2]}\n" for i in range(20)))
    assert splits.facts["std"][1] == 1.0


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "is empty: a table needs a header"),
        ("p,y\n", {}, "holds no rows"),
        ("p,q,y\n" + rows(3) + "1,2\n", {}, "line 5: 2 cells, but the header names 3 columns"),
        ("p,q,y\n" + rows(3) + "1,2,3,4\n", {}, "line 5: 4 cells"),
        ("1,2,3\n" + rows(3), {"target": "1"}, "line 1 holds numbers alone"),
        ("p,p,y\n" + rows(3), {}, r"column names \['p'\] are empty or repeated"),
        ("p,q,answer\n" + rows(9), {"target": "anwser"}, "no column 'anwser': did you mean 'answer'"),
        ("p,q,y\n" + rows(9), {"drop": ["pp"]}, "no column 'pp': did you mean 'p'"),
        ("p,q,y\n" + "1,2,a\n" * 9, {}, "has the one value 'a' in all 9 rows"),
        ("p,q,y\n" + "1,2,\n" * 9, {}, "missing in all 9 rows"),
        ("p,q,y\n" + rows(9), {"task": "value"}, "holds texts: task=value needs numbers"),
        ("y\na\nb\n", {}, "no column besides the target"),
        ("p,y\n" + "".join(f"{i},w{i}\n" for i in range(1200)), {}, "target 'y' holds 1200 different texts"),
        ("p,y\n" + "".join(f"w{i},{i % 2}\n" for i in range(1200)), {}, r"column 'p' .* data.source.drop=\[p\]"),
        ('p,y\n1,"a\n', {}, "is not a CSV file"),
        (b"p,y\n\xff\xfe,1\n", {}, "is not a CSV file in UTF-8"),
        ("p,q,y\n" + rows(4), {"test": 9}, "cannot hold out 9 of 4 examples"),
        ("nonsense", {"name": "own.parquet"}, "is not a Parquet file"),
    ],
)
def test_faults(load, text, options, words):
    if options.get("name"):
        pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=words):
        load(text, **options)


def test_unknown_task(load):
    with pytest.raises(ConfigError, match="choose from auto, class, value"):
        load("p,q,y\n" + rows(), task="clas")


def test_no_such_file_and_the_data_directory(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*own.csv .*data.source.path=FILE"):
        TableFile(path="own.csv", target="y").load(tmp_path / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.csv").write_text("p,q,y\n" + rows())
    assert TableFile(path="own.csv", target="y").load(tmp_path / "data").train.size == 12


def test_parquet_equals_csv(load, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    colours = [["red", "blue", None][i % 3] for i in range(30)]
    numbers = [None if i % 5 == 0 else i / 2 for i in range(30)]
    answers = ["ab"[i % 2] for i in range(30)]
    path = tmp_path / "own.parquet"
    columns = {"i": list(range(30)), "colour": colours, "n": numbers, "y": answers}
    parquet.write_table(pyarrow.table(columns), path)
    lines = [f"{i},{c or ''},{'' if n is None else n},{y}\n" for i, c, n, y in zip(*columns.values(), strict=True)]
    expected = load("i,colour,n,y\n" + "".join(lines))
    splits = TableFile(path=str(path), target="y").load(tmp_path)
    assert splits.facts == expected.facts
    for one, other in zip(splits[:3], expected[:3], strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)


def test_parquet_without_pyarrow_names_the_extra(load, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"pip install 'dlcli\[parquet\]'"):
        load("x", name="own.parquet")
