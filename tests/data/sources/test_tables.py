import datetime
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nft_keras.data import DataError, load
from nft_keras.data.features.inputs import read_inputs
from nft_keras.data.features.texts import TfIdf
from nft_keras.data.sources.labelled import read_labelled
from tests.data.sources.own import parts, write


@pytest.fixture
def table(tmp_path):
    """A CSV file of 100 rows in three classes, and its numbers and labels."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 3, (100, 2)), np.array(["red", "amber", "blue", "red"] * 25)
    rows = [f"{a!r},{label} ,{b!r}" for (a, b), label in zip(x.tolist(), y, strict=True)]
    write(tmp_path / "table.csv", "\ufeffwidth,kind,height\r\n" + "\r\n".join(rows) + "\r\n\r\n")
    return tmp_path, x, y


def test_csv_numbers_are_standardised_on_the_training_part(table):
    folder, x, y = table
    dataset = load("csv", folder, path="table.csv", label="kind")
    assert [len(part) for part in parts(dataset)] == [60, 20, 20]
    assert dataset.class_names == ("amber", "blue", "red")
    np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.train.x.std(0), 1, atol=1e-6)
    # One affine map takes the file's rows to those of the three parts; it keeps the order of each column.
    got = np.concatenate([part.x for part in parts(dataset)])
    labels = np.concatenate([part.y for part in parts(dataset)])
    back, there = np.argsort(got[:, 0]), np.argsort(x[:, 0])
    slope, start = np.polyfit(x[there, 0], got[back, 0], 1)
    np.testing.assert_allclose(got[back, 0], start + slope * x[there, 0], atol=1e-5)
    np.testing.assert_array_equal(np.argsort(got[back, 1]), np.argsort(x[there, 1]))
    assert [dataset.class_names[label] for label in labels[back]] == list(y[there])
    for part in parts(dataset):
        np.testing.assert_array_equal(np.bincount(part.y) * 4 / len(part), [1, 1, 2])


def test_csv_fractions_and_seed_make_the_split(table):
    folder, _, _ = table
    options = {"path": str(folder / "table.csv"), "label": "kind", "valid_fraction": 0.1, "test_fraction": 0.3}
    first, again, other = (load("csv", "elsewhere", split_seed=seed, **options) for seed in (1, 1, 2))
    assert [len(part) for part in parts(first)] == [60, 10, 30]
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert (first.test.y != other.test.y).any()


def test_csv_columns_can_be_dropped(table):
    folder, _, _ = table
    whole = load("csv", folder, path="table.csv", label="kind").train.x
    for options in ({"drop": ("height",)}, {"drop": "height"}, {"columns": {"height": "drop"}}):
        dropped = load("csv", folder, path="table.csv", label="kind", **options)
        np.testing.assert_array_equal(dropped.train.x, whole[:, :1])


def test_csv_labels_that_are_numbers_are_sorted_as_numbers(tmp_path):
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{i},{i % 11}\n" for i in range(110)))
    assert load("csv", tmp_path, path="t.csv").class_names == tuple(map(str, range(11)))


def test_csv_labels_are_numbers_where_all_of_all_parts_are_and_none_is_a_code(tmp_path):
    def labelled(name, labels):
        write(tmp_path / name, "a,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels * 20)))
        return name

    numbers, codes, mixed = (
        labelled("n.csv", ["2", "10"]),
        labelled("c.csv", ["01", "2"]),
        labelled("m.csv", ["01", "1A"]),
    )
    assert load("csv", tmp_path, path=numbers).class_names == ("2", "10")
    assert load("csv", tmp_path, path=codes).class_names == ("01", "2")
    assert load("csv", tmp_path, path=labelled("s.csv", ["007", "7"])).class_names == ("007", "7")
    assert load("csv", tmp_path, train=mixed, test=labelled("t.csv", ["01"])).class_names == ("01", "1A")
    assert load("csv", tmp_path, train=numbers, test=labelled("t.csv", ["10"])).test.y.tolist() == [1] * 20
    words = labelled("w.csv", ["1A", "2"])
    assert load("csv", tmp_path, train=words, test=labelled("t.csv", ["2"])).class_names == ("1A", "2")


def test_csv_text_becomes_tf_idf_features_fitted_on_the_training_part(tmp_path):
    texts = [f'word{i} {"good" if i % 2 else "bad"}, "quoted"\nand more' for i in range(50)]
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    write(tmp_path / "t.csv", "id,review,label\n" + "".join(f"x,{text},{i % 2}\n" for i, text in enumerate(quoted)))
    dataset = load("csv", tmp_path, path="t.csv", text="review", num_words=5)
    assert [part.x.shape for part in parts(dataset)] == [(30, 5), (10, 5), (10, 5)]
    # good and bad are in half of the texts of every part, the other words of the vocabulary in all of them.
    features = TfIdf(5).fit([texts[i] for i in range(30)]).transform(texts[:2]).toarray()
    for part in parts(dataset):
        for row, label in zip(part.x.toarray(), part.y, strict=True):
            np.testing.assert_allclose(row, features[label], atol=1e-6)


def test_a_cell_of_a_csv_may_hold_a_long_text(tmp_path):
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{'long ' * 50_000} word{i % 2},{i % 2}\n" for i in range(20)))
    assert load("csv", tmp_path, path="t.csv", text="a").train.x.shape[1] == 3


def test_columns_that_are_constant_in_training_are_left_out_and_said(tmp_path, capsys):
    write(tmp_path / "t.csv", "a,b,c,d,label\n" + "".join(f"{i % 3},0.1,x,,{i % 2}\n" for i in range(20)))
    dataset = load("csv", tmp_path, path="t.csv")
    assert dataset.train.x.shape[1] == 1 and list(dataset.preprocessing.of) == ["a"]
    said = f"{tmp_path / 't.csv'}: left out, the same in all of the training part: column b, c, d\n"
    assert capsys.readouterr().err == said


def test_columns_without_a_name_and_numbers_of_rows_are_left_out_and_said(tmp_path, capsys):
    frame = pd.DataFrame({"a": [0.5, 1.5] * 20, "label": [0, 1] * 20})
    frame.to_csv(tmp_path / "pandas.csv")
    frame.reset_index(names="id").to_csv(tmp_path / "named.csv", index=False)
    for name, said in (("pandas.csv", "without a name: 1 column"), ("named.csv", "the number of the row: column id")):
        dataset = load("csv", tmp_path, path=name)
        assert list(dataset.preprocessing.of) == ["a"]
        assert capsys.readouterr().err == f"{tmp_path / name}: left out, {said}\n"
    assert list(load("csv", tmp_path, path="named.csv", columns={"id": "number"}).preprocessing.of) == ["id", "a"]


def test_codes_that_are_read_as_numbers_are_said(tmp_path, capsys):
    codes = [f"{35_000 - 17 * i:05}" for i in range(2100)]  # the first that begins with 0 stands in row 1,472
    rows = "".join(f"{code},0.{i},{i % 7},{i % 2}\n" for i, code in enumerate(codes))
    write(tmp_path / "t.csv", '"zip, code",part,n,label\n' + rows)
    frame = pd.read_csv(tmp_path / "t.csv", dtype={"zip, code": str})
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert load("csv", tmp_path, path=name).preprocessing.of["zip, code"].kind == "number"
        said = "column 'zip, code' has numbers that begin with 0, as 09993: if they are codes, say"
        assert capsys.readouterr().err == f"{tmp_path / name}: {said} `columns: {{'zip, code': category}}`\n"
        for kind in ("number", "category"):
            columns = {"zip, code": kind}
            assert load("csv", tmp_path, path=name, columns=columns).preprocessing.of["zip, code"].kind == kind
            assert capsys.readouterr().err == ""


@pytest.fixture
def mixed(tmp_path):
    """A table with every kind of column and missing values, as pandas' frame, and its folder."""
    rng, n = np.random.default_rng(0), 120
    frame = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(40, 10, n).round(1)),
            "city": rng.choice(["Rome", "Oslo", "a, b", None], n),
            "member": rng.choice(["yes", "No", ""], n),
            "since": pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 2000, n), "D"),
            "note": [f"word{i} {w}" for i, w in enumerate(rng.choice(["good", "bad"], n))],
            "label": rng.choice(["p", "n"], n),
        }
    )
    frame.loc[::9, "since"] = pd.NaT
    return tmp_path, frame


def features(frame, fitted):
    """What a table's columns but the text become, by pandas and scikit-learn, fitted on the rows `fitted`."""
    impute, scale = SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
    member = frame["member"].str.lower().map({"yes": 1.0, "no": 0.0})
    days = (frame["since"] - pd.Timestamp(0)) / pd.Timedelta(days=1)
    blocks = {}
    for name, column in {"age": frame["age"], "member": member, "since": days}.items():
        both = impute.fit(column[fitted].to_frame()).transform(column.to_frame())
        blocks[name] = np.hstack([scale.fit(both[fitted, :1]).transform(both[:, :1]), both[:, 1:]])
    city = frame["city"].fillna("zz missing").to_numpy()[:, None]
    blocks["city"] = OneHotEncoder(sparse_output=False).fit(city[fitted]).transform(city)
    when = frame["since"].dt
    for turn in ((when.dayofyear - 1) / 365.25, when.dayofweek / 7):
        angle = 2 * np.pi * turn.fillna(0)
        blocks["since"] = np.hstack([blocks["since"], np.stack([np.sin(angle), np.cos(angle)], axis=1)])
    return np.hstack([blocks[name] for name in ("age", "city", "member", "since")])


def test_every_kind_of_column_becomes_what_pandas_and_scikit_learn_make_of_it(mixed):
    folder, frame = mixed
    frame["split"] = np.resize(["train", "train", "VAL", "test"], len(frame))
    frame.to_csv(folder / "t.csv", index=False)
    dataset = load("csv", folder, path="t.csv", drop="note", split="split")
    kinds = {name: encoder.kind for name, encoder in dataset.preprocessing.of.items()}
    assert kinds == {"age": "number", "city": "category", "member": "boolean", "since": "date"}
    assert dataset.provenance.endswith("t.csv, 120 rows: 1 number, 1 boolean, 1 category, 1 date; 14 features")
    expected = features(frame, (frame["split"] == "train").to_numpy())
    for part, word in (("train", "train"), ("valid", "VAL"), ("test", "test")):
        rows = (frame["split"] == word).to_numpy()
        np.testing.assert_allclose(getattr(dataset, part).x, expected[rows], atol=1e-5)
        assert [dataset.class_names[y] for y in getattr(dataset, part).y] == frame["label"][rows].tolist()


@pytest.mark.parametrize("form", ["semicolons and commas", "tabs", "gzip", "utf-16", "latin-1", "parquet"])
def test_a_table_is_read_as_it_is_written(mixed, form):
    folder, frame = mixed
    frame["age"] = frame["age"].fillna(7.25)
    frame.to_csv(folder / "plain.csv", index=False)
    path, options = folder / "t.csv", {}
    if form == "semicolons and commas":
        frame.to_csv(path, index=False, sep=";", decimal=",")
    elif form == "tabs":
        frame.to_csv(path := folder / "t.tsv", index=False, sep="\t")
    elif form == "gzip":
        frame.to_csv(path := folder / "t.csv.gz", index=False)
    elif form == "utf-16":
        frame.to_csv(path, index=False, encoding="utf-16")
    elif form == "latin-1":
        frame.replace("Rome", "Köln").to_csv(path, index=False, encoding="latin-1")
        options["encoding"] = "latin-1"
    else:
        frame["member"] = frame["member"].replace("", None)
        frame.to_parquet(path := folder / "t.parquet")
    expected = load("csv", folder, path="plain.csv", text="note")
    dataset = load("csv", folder, path=str(path), text="note", **options)
    if form == "latin-1":
        assert "Köln" in dataset.preprocessing.of["city"].levels
        return
    np.testing.assert_array_equal(dataset.train.x.toarray(), expected.train.x.toarray())
    lines, inputs = dataset.preprocessing.read(path)
    assert len(lines) == 120 and dataset.preprocessing.transform(inputs).shape == (120, dataset.train.x.shape[1])


def test_codes_with_commas_beside_numbers_with_points_are_for_the_user_to_say(tmp_path):
    rows = "".join(f"{i % 9}.5;{i % 3},{i % 2};{i % 2}\n" for i in range(40))
    write(tmp_path / "t.csv", "size;code;label\n" + rows)
    with pytest.raises(DataError, match="column 'code' has a decimal comma, '0,0', column 'size' a point, 0.5: write"):
        load("csv", tmp_path, path="t.csv")
    of = load("csv", tmp_path, path="t.csv", columns={"code": "category"}).preprocessing.of
    assert {name: encoder.kind for name, encoder in of.items()} == {"size": "number", "code": "category"}


@pytest.mark.parametrize(
    "cells, separator, options, said",
    [
        (("1,200", "900"), ";", {}, "'1,200', with a comma for the point or between thousands: say `decimal: ','`"),
        (("1,25", "900"), ";", {}, None),
        (("0,250", "0,500"), ";", {}, None),
        (("1.200", "900"), ";", {}, "'1.200', with a decimal point or one between thousands: say `decimal: '.'`"),
        (("1.200", "900"), ";", {"decimal": "."}, None),
        (("1.25", "900"), ";", {}, None),
        (("1.200", "900.000"), ";", {}, None),
        (("1_000", "2_000"), ",", {}, "numbers that are written as '1_000'"),
        (("1.200", "900"), ";", {"decimal": ","}, ":2: column 'a' has '1.200' where numbers have a decimal comma"),
        (('"1,200"', "900"), ",", {}, "numbers that are written as '1,200': write them without signs and separators"),
        (("10%", "20%"), ",", {}, "numbers that are written as '10%'"),
        (("5 €", "7 €"), ",", {}, "numbers that are written as '5 €'"),
        (("123456789012345678901234", "4"), ",", {}, None),
    ],
)
def test_numbers_are_read_as_they_are_meant_or_refused(tmp_path, cells, separator, options, said):
    rows = "".join(f"{cells[i % 2]}{separator}{i // 2 % 2}\n" for i in range(40))
    write(tmp_path / "t.csv", f"a{separator}label\n" + rows)
    if said:
        with pytest.raises(DataError, match=re.escape(said)):
            load("csv", tmp_path, path="t.csv", **options)
        return
    encoder = load("csv", tmp_path, path="t.csv", **options).preprocessing.of["a"]
    wanted = [float(cell.replace(",", ".")) for cell in cells]
    assert encoder.kind == "number" and encoder.mean == pytest.approx(np.mean(wanted), rel=0.2)


@pytest.mark.parametrize("mark", [",", "."])
def test_a_new_row_that_leaves_its_decimal_mark_open_has_that_of_the_training(tmp_path, mark):
    write(tmp_path / "t.csv", "a;label\n" + "".join(f"{i % 5}{mark}25;{i % 2}\n" for i in range(40)))
    write(tmp_path / "new.csv", f"a;other\n1{mark}200;x\n900;y\n")
    how = load("csv", tmp_path, path="t.csv").preprocessing
    how = type(how).from_config(json.loads(json.dumps(how.to_config())))
    _, values = how.read(tmp_path / "new.csv")
    assert values["a"].tolist() == [1.2, 900.0]


def test_a_point_after_a_training_with_decimal_commas_is_no_thousand_unasked(tmp_path):
    write(tmp_path / "t.csv", "a;label\n" + "".join(f"{i * 37.5};{i % 2}\n".replace(".", ",") for i in range(40)))
    how = load("csv", tmp_path, path="t.csv").preprocessing
    write(tmp_path / "new.csv", "a;other\n1.234;x\n2.345;y\n")
    with pytest.raises(DataError, match="'1.234', with a decimal point or one between thousands: write the decimal c"):
        how.read(tmp_path / "new.csv")
    write(tmp_path / "new.csv", "a;other\n1.25;x\n2.345;y\n")
    assert how.read(tmp_path / "new.csv")[1]["a"].tolist() == [1.25, 2.345]


CODES = "".join(f"{i % 9}.5;{i % 3},{i % 2};{'xy'[i % 2]};{i}.25\n" for i in range(60))
UNUSED = {
    "a category": ({"columns": {"code": "category"}}, "label"),
    "left out": ({"drop": "code"}, "label"),
    "labels": ({"label": "code", "task": "multi-label", "label_separator": ",", "drop": "label"}, "code"),
    "beside a quantity": ({"label": "price", "task": "regression", "columns": {"code": "category"}}, "price"),
}


@pytest.mark.parametrize("kind", UNUSED)
def test_a_comma_in_a_column_that_is_no_number_is_no_decimal_mark_in_training_nor_after_it(tmp_path, kind):
    options, label = UNUSED[kind]
    write(tmp_path / "t.csv", "size;code;label;price\n" + CODES)
    trained = load("csv", tmp_path, path="t.csv", **options)
    how, path = trained.preprocessing, tmp_path / "t.csv"
    assert read_inputs(how, path, "code").beside[:2] == ["0,0", "1,1"]
    inputs, y = read_labelled(how, path, trained.target, label, ",")
    sizes = inputs.x[:, 0] * how.of["size"].scale + how.of["size"].mean
    assert len(y) == 60 and sizes == pytest.approx([i % 9 + 0.5 for i in range(60)], abs=1e-5)


def test_ids_and_labels_of_a_new_file_are_encoded_as_its_numbers_are(tmp_path):
    rows = "".join(f"{i},{'Mü' * (i % 2)}l\n" for i in range(40))
    (tmp_path / "t.csv").write_bytes(f"a,label\n{rows}".encode("cp1252"))
    trained = load("csv", tmp_path, path="t.csv", encoding="cp1252")
    write(tmp_path / "new.csv", "a,label,id\n1,Mül,ä\n2,l,b\n")
    inputs, y = read_labelled(trained.preprocessing, tmp_path / "new.csv", trained.target, "label", ";")
    assert [trained.class_names[i] for i in y] == ["Mül", "l"]
    assert read_inputs(trained.preprocessing, tmp_path / "new.csv", "id").beside == ["ä", "b"]


def test_a_long_column_has_decimal_commas_though_a_piece_of_it_has_none(tmp_path):
    cells = [f"{i % 7}" if i < 300_000 else f"{i % 7},5" for i in range(600_000)]
    write(tmp_path / "t.csv", "a;b;label\n" + "".join(f"{c};{i % 3};{i % 2}\n" for i, c in enumerate(cells)))
    encoder = load("csv", tmp_path, path="t.csv").preprocessing.of["a"]
    assert encoder.kind == "number" and encoder.mean == pytest.approx(3.25, abs=0.01)


def test_a_long_column_of_codes_keeps_their_zeros_where_a_piece_of_it_looks_like_numbers(tmp_path):
    cells = [f"0{i % 2}" if i < 280_000 else f"x{i % 3}" for i in range(600_000)]
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{c},{i // 2 % 2}\n" for i, c in enumerate(cells)))
    assert load("csv", tmp_path, path="t.csv").preprocessing.of["a"].levels == ("00", "01", "x0", "x1", "x2")


def test_what_is_no_number_among_decimal_commas_is_named_by_its_line(tmp_path):
    cells = ["k.A." if i == 7 else f"{i % 5},5" for i in range(40)]
    write(tmp_path / "t.csv", "a;label\n" + "".join(f"{cell};{i % 2}\n" for i, cell in enumerate(cells)))
    with pytest.raises(DataError, match="t.csv:9: column 'a' should be a finite number, got 'k.A.'"):
        load("csv", tmp_path, path="t.csv")


def test_a_code_is_the_same_category_with_a_point_and_without(tmp_path, capsys):
    write(tmp_path / "t.csv", "k,label\n" + "".join(f"{i % 3},{i % 2}\n" for i in range(60)))
    write(tmp_path / "new.csv", "k\n1.0\n2.\n\n7.0\n")
    how = load("csv", tmp_path, path="t.csv", columns={"k": "category"}).preprocessing
    _, values = how.read(tmp_path / "new.csv")
    np.testing.assert_array_equal(how.transform(values), [[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    said = "column 'k': 1 of 3 rows have none of the 3 categories of the training part: 7"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["category", "boolean", "date", "number"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
def test_a_row_may_have_nothing_in_a_column(tmp_path, kind, ending):
    cells = {"category": ["x", "y"], "boolean": ["yes", "no"], "date": ["2024-05-31", "2023-01-02"], "number": [1, 2]}
    frame = pd.DataFrame({"a": range(40), "b": cells[kind] * 20, "label": [0, 0, 1, 1] * 10})
    frame.loc[3, "b"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    how = load("csv", tmp_path, path="t.csv").preprocessing
    assert how.of["b"].kind == kind
    new = pd.DataFrame({"a": [1.5], "b": [None]})
    getattr(new, {"csv": "to_csv", "parquet": "to_parquet", "xlsx": "to_excel"}[ending])(
        tmp_path / f"new.{ending}", index=False
    )
    _, values = how.read(tmp_path / f"new.{ending}")
    x = how.transform(values)
    frame.iloc[[3]].to_csv(tmp_path / "same.csv", index=False)
    _, values = how.read(tmp_path / "same.csv")
    assert x.shape == (1, *how.input_shape) and np.array_equal(how.transform(values)[:, 1:], x[:, 1:])


def test_dates_are_of_any_year(tmp_path):
    dates = ["0001-01-01", "1600-02-29", "2024-05-31", "9999-12-31"]
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{dates[i % 4]},{i // 4 % 2}\n" for i in range(80)))
    dataset = load("csv", tmp_path, path="t.csv", columns={"a": "date"})
    days = [(datetime.date.fromisoformat(date) - datetime.date(1970, 1, 1)).days for date in dates]
    encoder = dataset.preprocessing.of["a"]
    assert sorted(set(np.round(dataset.train.x[:, 0].astype("float64") * encoder.scale + encoder.mean, -4))) == (
        pytest.approx(sorted(np.round(days, -4)), abs=2e4)
    )


@pytest.mark.parametrize("missing", ["NaN", "?", ""])
@pytest.mark.parametrize("use", ["label", "group", "split"])
def test_a_missing_label_group_or_split_is_named(tmp_path, use, missing):
    rows = [[i % 7, i % 2, i % 20, ("train", "valid", "test")[i % 3]] for i in range(60)]
    rows[4][("label", "group", "split").index(use) + 1] = missing
    write(tmp_path / "t.csv", "a,label,group,split\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    drop = [name for name in ("group", "split") if name != use]
    own = {use: use} if use != "label" else {}
    said = f"t.csv:6: column '{use}' " + (f"holds '{missing}', which stands" if missing else "is empty")
    with pytest.raises(DataError, match=re.escape(said)):
        load("csv", tmp_path, path="t.csv", drop=tuple(drop), **own)


def test_rows_have_weights_in_units_of_their_mean(tmp_path):
    write(tmp_path / "t.csv", "a,w,label\n" + "".join(f"{i % 7},{i % 4 / 2},{i % 2}\n" for i in range(60)))
    dataset = load("csv", tmp_path, path="t.csv", weight="w", columns={"a": "number"})
    weights = np.array([(int(line) - 2) % 4 / 2 for line in dataset.train.names])
    np.testing.assert_allclose(dataset.train.weights, weights / weights.mean(), rtol=1e-6)
    assert dataset.valid.weights is None and dataset.test.weights is None and list(dataset.preprocessing.of) == ["a"]
    few = load("csv", tmp_path, path="t.csv", weight="w", train_size=20).train
    assert len(few.weights) == len(few) == 20 and few.weights.mean() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    "cell, said",
    [
        ("-1", "t.csv:6: column 'w' should be a finite number >= 0, got '-1'"),
        ("much", "t.csv:6: column 'w' should be a finite number, got 'much'"),
        ("inf", "t.csv:6: column 'w' should be a finite number, got 'inf'"),
        ("", "t.csv:6: column 'w' should be a finite number >= 0, got ''"),
        (None, "column 'w': every weight of the training part is 0"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path, cell, said):
    rows = [[i % 7, 0 if cell is None else 1, i % 2] for i in range(60)]
    rows[4][1] = rows[4][1] if cell is None else cell
    write(tmp_path / "t.csv", "a,w,label\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(DataError, match=re.escape(said)):
        load("csv", tmp_path, path="t.csv", weight="w")


@pytest.mark.parametrize("fractions", [(0.3, 0.3), (0.4, 0.1), (0.15, 0.25)])
def test_groups_are_cut_near_the_fractions(tmp_path, fractions):
    write(tmp_path / "t.csv", "a,who,label\n" + "".join(f"{i % 7},p{i % 100},{i % 2}\n" for i in range(1000)))
    valid, test = fractions
    dataset = load("csv", tmp_path, path="t.csv", group="who", valid_fraction=valid, test_fraction=test)
    assert [len(part) / 1000 for part in (dataset.valid, dataset.test)] == pytest.approx([valid, test], abs=0.03)


def test_folds_keep_groups_together(tmp_path):
    write(tmp_path / "t.csv", "a,who,label\n" + "".join(f"{i},p{i % 30}.0,{i % 2}\n" for i in range(300)))
    seen = []
    for k in range(1, 4):
        dataset = load("csv", tmp_path, path="t.csv", group="who", columns={"a": "number"}, fold=f"{k}-of-3")
        in_parts = [{int(line) - 2 for line in part.names} for part in (dataset.train, dataset.valid, dataset.test)]
        groups = [{row % 30 for row in rows} for rows in in_parts]
        assert not groups[0] & groups[2] and not groups[0] & groups[1] and not groups[1] & groups[2]
        seen += sorted(in_parts[2])
    assert sorted(seen) == list(range(300))


def test_of_an_excel_file_words_are_kept_and_what_is_not_read_is_said(tmp_path, capsys):
    frame = pd.DataFrame({"t": ["NA", "a word"] * 20, "label": [0, 0, 1, 1] * 10})
    with pd.ExcelWriter(tmp_path / "t.xlsx") as writer:
        frame.to_excel(writer, sheet_name="first", index=False)
        frame.to_excel(writer, sheet_name="second", index=False)
    assert "na" in load("csv", tmp_path, path="t.xlsx", text="t").preprocessing.of["t"].parts
    assert "t.xlsx: of 2 sheets the first is read, first" in capsys.readouterr().err
    frame.set_axis(["label", "label"], axis=1).to_excel(tmp_path / "twice.xlsx", index=False)
    with pytest.raises(DataError, match="two columns are called 'label'"):
        load("csv", tmp_path, path="twice.xlsx")


def test_an_index_with_a_name_is_a_column(tmp_path):
    frame = pd.DataFrame({"size": np.arange(40.0) ** 2, "label": [0, 1] * 20}).set_index("size")
    frame.to_parquet(tmp_path / "t.parquet")
    assert list(load("csv", tmp_path, path="t.parquet").preprocessing.of) == ["size"]


def test_quotes_after_a_blank_are_quotes(tmp_path):
    write(tmp_path / "t.csv", "a,b,label\n" + "".join(f'{i % 7}, "x, {i % 2}", {i % 2}\n' for i in range(40)))
    assert load("csv", tmp_path, path="t.csv").preprocessing.of["b"].levels == ("x, 0", "x, 1")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_new_file_may_be_encoded_otherwise_than_those_of_the_training(tmp_path, encoding):
    rows = "größe,label\n" + "".join(f"{'grün' if i % 3 else 'weiß'},{i % 2}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(rows, encoding="latin-1")
    how = load("csv", tmp_path, path="t.csv", encoding="latin-1").preprocessing
    (tmp_path / "new.csv").write_text("größe\ngrün\n", encoding=encoding)
    _, values = how.read(tmp_path / "new.csv")
    np.testing.assert_array_equal(how.transform(values), [[1, 0]])


def test_many_classes_may_be_numbers_where_each_has_examples(tmp_path):
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{i % 7}.5,{i % 200}\n" for i in range(1400)))
    assert len(load("csv", tmp_path, path="t.csv").class_names) == 200


def test_a_spreadsheet_is_read_or_its_package_named(mixed, monkeypatch):
    folder, frame = mixed
    frame.drop(columns="note").to_excel(folder / "t.xlsx", index=False)
    frame.drop(columns="note").to_csv(folder / "t.csv", index=False)
    of_excel, of_csv = (load("csv", folder, path=name).train.x for name in ("t.xlsx", "t.csv"))
    np.testing.assert_allclose(of_excel, of_csv, atol=1e-6)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"is no CSV, and pandas needs a package .* 'nft_keras\[excel\]'"):
        load("csv", folder, path="t.xlsx")


def test_a_column_is_what_the_user_says(mixed):
    folder, frame = mixed
    frame["zip"] = [f"{i % 3:03}" for i in range(len(frame))]
    frame.to_csv(folder / "t.csv", index=False)
    kinds = {"zip": "category", "city": "drop", "note": "text", "since": "drop"}
    of = load("csv", folder, path="t.csv", columns=kinds).preprocessing.of
    assert list(of) == ["age", "member", "note", "zip"] and of["zip"].levels == ("000", "001", "002")


def test_a_category_that_is_new_or_rare_is_zero_in_all(mixed):
    folder, frame = mixed
    frame = frame[["city", "label"]].fillna("Rome")
    frame.to_csv(folder / "t.csv", index=False)
    columns = load("csv", folder, path="t.csv", max_categories=2).preprocessing
    assert len(columns.of["city"].levels) == 2 and "Rome" in columns.of["city"].levels
    write(folder / "new.csv", "label,city\n?,Rome\n?,Paris\n?,\n")
    _, inputs = columns.read(folder / "new.csv")
    assert columns.transform(inputs).sum(axis=1).tolist() == [1, 0, 0]


def test_parts_can_be_files_of_their_own(table):
    folder, x, y = table
    rows = [f"{a!r},{label},{b!r}" for (a, b), label in zip(x.tolist(), y, strict=True)]
    cuts = {"a.csv": rows[:60], "b.csv": rows[60:80], "c.csv": rows[80:]}
    for name, some in cuts.items():
        write(folder / name, "\n".join(["width,kind,height", *some]))
    dataset = load("csv", folder, train="a.csv", valid="b.csv", test="c.csv", label="kind")
    expected = StandardScaler().fit(x[:60]).transform(x)
    np.testing.assert_allclose(np.vstack([part.x for part in parts(dataset)]), expected, atol=1e-5)
    assert [len(part) for part in parts(load("csv", folder, train="a.csv", test="c.csv", label="kind"))] == [48, 12, 20]
    write(folder / "b.csv", "width,kind,height\n1,red,tall\n")
    with pytest.raises(DataError, match=r"b.csv:2: column 'height' should be a finite number, got 'tall'"):
        load("csv", folder, train="a.csv", valid="b.csv", label="kind")


def test_no_group_is_in_two_parts(tmp_path):
    rng = np.random.default_rng(0)
    who = rng.integers(0, 25, 200)
    rows = zip(who, rng.normal(size=200), who % 2, strict=True)
    write(tmp_path / "t.csv", "who,a,label\n" + "".join(f"{g},{a},{y}\n" for g, a, y in rows))
    dataset = load("csv", tmp_path, path="t.csv", group="who")
    sizes = [len(part) for part in parts(dataset)]
    assert sum(sizes) == 200 and all(15 <= size <= 65 for size in sizes[1:])
    frame = pd.read_csv(tmp_path / "t.csv")
    values = dataset.preprocessing.of["a"].transform(frame["a"].to_numpy())[:, 0].astype("float32")
    groups = [set(frame["who"][np.isin(values, part.x[:, 0])]) for part in parts(dataset)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    frame["split"] = ["train", "test"] * 100
    frame.to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(DataError, match="column 'who': .* is in the train and in the test part"):
        load("csv", tmp_path, path="s.csv", group="who", split="split")


def test_parts_of_few_examples_are_cut_at_random_and_that_is_said(tmp_path, capsys):
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{i % 7},{'few' if i < 2 else i % 5}\n" for i in range(25)))
    dataset = load("csv", tmp_path, path="t.csv")
    assert [len(part) for part in parts(dataset)] == [15, 5, 5] and set(dataset.train.y) == set(range(6))
    assert re.search("not cut class by class, too few examples .of class few: [12]", capsys.readouterr().err)


@pytest.mark.slow
def test_a_million_rows_are_read_in_a_minute_and_two_gigabytes(tmp_path):
    program = f"""
import numpy as np, pandas as pd
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.normal(size=(1_000_000, 20)).astype("float32"), columns=[f"c{{i}}" for i in range(20)])
frame["c3"] = rng.choice(["red", "green", ""], len(frame))
frame["label"] = rng.integers(0, 3, len(frame))
frame.to_csv({str(tmp_path / "t.csv")!r}, index=False)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    program = f"""
import re, sys, time
sys.argv[0] = "nft-keras"
from nft_keras.data import load
dataset = load("csv", {str(tmp_path)!r}, path="t.csv")
kilobytes = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]  # ru_maxrss counts the parent's too
print(dataset.train.x.shape, time.process_time(), int(kilobytes) / 1e6)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *shape, seconds, gigabytes = done.stdout.split()
    assert shape == ["(600000,", "22)"] and float(seconds) < 60 and float(gigabytes) < 2


ROWS = "".join(f"{i},{i % 2}\n" for i in range(20))
BAD_TABLES = {
    "no such column": ("a,lable\n" + ROWS, {}, "no column 'label'; it has a, lable; did you mean lable?"),
    "text": ("a,label\n" + ROWS + "many,1\n", {}, "t.csv:22: column 'a' should be a finite number, got 'many'; leave"),
    "words": ("a,label\n" + ROWS + "so many words,1\n", {}, "got 'so many words'; .* `columns: {a: category}`"),
    "words in every row": (
        "a,label\n" + "".join(f"{i}th word,{i % 2}\n" for i in range(30)),
        {},
        r"column 'a' has .* `text: \[a\]`",
    ),
    "numbers for classes": (
        "a,label\n" + "".join(f"x,{i}.5\n" for i in range(20)),
        {},
        "20 different numbers in 20 rows",
    ),
    "backslashes": ('a,label\n"a \\"b\\"",0\n' + ROWS, {}, 't.csv:2: .* is written twice, ""'),
    "a spreadsheet": ("PK\3\4", {}, "t.csv is a ZIP archive or a spreadsheet, no CSV"),
    "label as text": ("a,label\n" + ROWS, {"text": "label"}, "'label' cannot be both label and text"),
    "another kind": ("a,label\nno,0\n" + ROWS, {"columns": {"a": "boolean"}}, "t.csv:5: .* true or false, .* got '2'"),
    "no date": ("a,label\n5/6/2024,0\n" + ROWS, {"columns": {"a": "date"}}, "t.csv:2: .* a date as 2024-05-31, "),
    "no codec": ("a,label\n" + ROWS, {"encoding": "klingon"}, "encoding should be one of Python's, .*'klingon'"),
    "a part of no name": ("a,s,label\n1,train,0\n1,x,1\n", {"split": "s"}, "t.csv:3: .* train, valid or test, got 'x'"),
    "nothing to drop": ("a,label\n" + ROWS, {"drop": ("b",)}, "no column 'b'; it has a, label"),
    "infinite": ("a,label\n1,0\n-inf,1\n" + ROWS, {}, "t.csv:3: .* got '-inf'"),
    "huge": ("a,label\n1e300,0\n-1e300,1\n" + ROWS, {}, "column 'a': its values are too large"),
    "huge in the test part": (f"a,label\n{ROWS * 5}1e300,1\n", {}, "t.csv:102: column 'a' is too large"),
    "no label": ("a,label\n1,\n" + ROWS, {}, "t.csv:2: column 'label' is empty"),
    "short row": ("a,label\n1\n" + ROWS, {}, "t.csv:2: 1 cells, the header has 2 columns"),
    "index column": (",label\n" + ROWS, {}, "no column but the label"),
    "nothing but labels": ("label\n1\n0\n", {}, "no column but the label"),
    "twice": ("a,a,label\n1,1,1\n", {}, "t.csv:1: two columns are called 'a'"),
    "one class": ("a,label\n" + ROWS.replace(",1", ",0"), {}, "all of 20 examples are of class 0"),
    "no rows": ("a,label\n", {}, "no rows, only a header"),
    "empty": ("", {}, "is empty"),
    "no labels": (
        "a,label\n" + "".join(f"{i},name{i}\n" for i in range(9)),
        {},
        "t.csv: 9 classes in 9 examples, 9 of them with one: are these the labels?",
    ),
    "lone example": ("a,label\n" + ROWS + "1,2\n", {}, "t.csv: one example of class 2; at least two"),
    "no training part": ("a,label\n" + ROWS, {"valid_fraction": 0.5, "test_fraction": 0.5}, "leaves a part empty"),
    "no test part": ("a,label\n" + ROWS, {"test_fraction": 0.01}, "0.01 of 20 examples for the test part"),
    "no words": ("a,label\n" + "?!,0\n?!,1\n" * 10, {"text": "a"}, "t.csv: column 'a': no words in the texts"),
    "quotes": ('a,label\n"1"2,0\n' + ROWS, {}, "t.csv:2: "),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_csv_that_cannot_be_used_is_refused_with_its_line_and_column(tmp_path, kind):
    content, options, message = BAD_TABLES[kind]
    write(tmp_path / "t.csv", content)
    with pytest.raises(DataError, match=message):
        load("csv", tmp_path, path="t.csv", **options)


def test_a_csv_in_another_encoding_is_refused_with_the_line(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,label\n1,0\n2,caf\xe9\n")
    with pytest.raises(DataError, match="t.csv:3 is not UTF-8 .*save it as UTF-8"):
        load("csv", tmp_path, path="t.csv")


def test_rows_of_the_test_part_that_are_in_the_training_part_too_are_told(tmp_path, capsys):
    rows = [f"{i / 7},{'uvw'[i % 3]},{i % 2}" for i in range(60)]
    write(tmp_path / "a.csv", "n,c,label\n" + "\n".join(rows) + "\n")
    load("csv", tmp_path, path="a.csv")
    assert not capsys.readouterr().err
    write(tmp_path / "b.csv", "n,c,label\n" + "\n".join([*rows[:20], "99,,1", "98,u,0"]) + "\n")
    load("csv", tmp_path, train="a.csv", test="b.csv", valid_fraction=0.01)
    assert re.search(r"a.csv: \d+ of 22 rows of the part test are the same as one of train", capsys.readouterr().err)


def test_numbers_that_are_missing_only_in_new_rows_are_told(tmp_path, capsys):
    write(tmp_path / "t.csv", "a,b,label\n" + "".join(f"{i},{i / 3 if i % 4 else ''},{i % 2}\n" for i in range(1, 60)))
    write(tmp_path / "new.csv", "a,b\n,1\n7,\n,2\n")
    how = load("csv", tmp_path, path="t.csv", columns={"a": "number"}).preprocessing
    how.read(tmp_path / "new.csv")
    said = capsys.readouterr().err
    assert "column 'a': 2 of 3 rows are empty, and none of the training part: they get its median" in said
    assert "column 'b'" not in said


def test_another_separator_and_another_case_of_a_column_are_suspected(tmp_path):
    write(tmp_path / "t.csv", "A,Label\n" + "".join(f"{i % 9},{i % 2}\n" for i in range(40)))
    with pytest.raises(DataError, match="did you mean Label?"):
        load("csv", tmp_path, path="t.csv", label="LABEL")
    with pytest.raises(DataError, match="has no column 'Label'; it has A,Label; the `separator` may be ','"):
        load("csv", tmp_path, path="t.csv", label="Label", separator=";")
