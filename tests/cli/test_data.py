import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from nft_keras.cli.data import main
from nft_keras.data import SPECS


def test_list_has_a_line_for_every_data_set_with_its_shape_classes_sizes_and_origin(tmp_path, capsys):
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"name", *SPECS}
    assert lines["convex"].split()[1:8] == ["28x28x1", "2", "6,000", "/", "2,000", "/", "50,000"]
    assert "download of 3.4 MB from www.iro.umontreal.ca, else generated" in lines["convex"]
    assert "always there" in lines["two-moons"]
    assert "download by tensorflow-datasets" in lines["imdb"]


def test_list_tells_what_is_there_and_what_is_wrong_with_it(tmp_path, capsys):
    (tmp_path / "imdb_reviews" / "1.0.0").mkdir(parents=True)
    (tmp_path / "imdb_reviews" / "1.0.0" / "dataset_info.json").write_text("{}")
    (tmp_path / "rectangles_images.zip").write_text("")
    (tmp_path / "convex_train.amat").write_text("")
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"prepared, {tmp_path / 'imdb_reviews'}" in out
    assert f"published, {tmp_path / 'rectangles_images.zip'}" in out
    assert "convex_train.amat is there, but its companion 50k/convex_test.amat is not" in out


def test_show_draws_images_with_their_labels(tmp_path, capsys):
    out = tmp_path / "grid.png"
    assert main(["show", "digits-back-image", "--data-dir", str(tmp_path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out) in printed and "generated from its sample photographs" in printed
    picture = matplotlib.image.imread(out)[..., :3]
    is_grey = (picture[..., 0] == picture[..., 1]) & (picture[..., 1] == picture[..., 2])
    assert is_grey.mean() > 0.5, "most of the sheet is covered with grey images"
    assert len(np.unique(picture[is_grey])) > 100


def test_show_draws_points_in_the_plane(tmp_path):
    out = tmp_path / "points.png"
    assert main(["show", "two-moons", "--out", str(out)]) == 0
    assert matplotlib.image.imread(out).std() > 0.05


def test_show_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "mine.png").write_text("mine")
    assert main(["show", "two-moons", "--out", str(tmp_path / "mine.png")]) == 2
    assert "mine.png is there already; remove it, or choose another --out" in capsys.readouterr().err
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_show_lists_what_becomes_of_the_columns_of_a_table(tmp_path, capsys):
    rows = [f"{i},{i % 3 or ''},{'red' if i % 2 else 'blue'},2024-01-{i % 28 + 1:02},5,{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("id,size,hue,day,same,label\n" + "\n".join(rows))
    (tmp_path / "mine.yaml").write_text(
        "dataset: {name: csv, path: t.csv}\nclassifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\n"
    )
    assert main(["show", str(tmp_path / "mine.yaml"), "--data-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    header, *lines = captured.out.splitlines()
    said = captured.err.splitlines()
    assert header.split() == ["column", "kind", "features"]
    kinds = {name: (kind, int(features), what) for name, kind, features, *what in map(str.split, lines[:3])}
    assert kinds["size"][:2] == ("number", 2) and kinds["size"][2][-2:] == ["and", "marked"]
    assert kinds["hue"] == ("category", 2, "2: blue, red".split()) and kinds["day"][:2] == ("date", 5)
    assert said[0].endswith("t.csv: left out, the number of the row: column id")
    assert said[1].endswith("t.csv: left out, the same in all of the training part: column same")
    assert lines[3].endswith("t.csv, 40 rows: 1 number, 1 category, 1 date; 9 features")
    assert lines[4] == "24 training, 8 validation and 8 test examples; of the training: 0 12, 1 12"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["show", "no.yaml"], "no.yaml: cannot be read: No such file"),
        (["show", "convexx"], "unknown data set 'convexx'"),
        (["show", "mnst"], "did you mean mnist?"),
        (["show", "csv"], "csv is a file of your own"),
        (["show", "imdb"], "imdb cannot be drawn, its examples are vectors of 20,000 numbers"),
        (["show", "two-moons", "--out", "/nowhere/at/all.png"], "cannot write /nowhere/at/all.png"),
        (["show", "two-moons", "--out", "{}/picture.docx"], "cannot write"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(tmp_path, capsys, arguments, message):
    arguments = [argument.format(tmp_path) for argument in arguments]
    assert main([*arguments, "--data-dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize("arguments, code", [(["--help"], 0), (["show", "--help"], 0), (["display"], 2), ([], 2)])
def test_help_and_wrong_arguments_answer_without_waiting_for_tensorflow(arguments, code):
    command = [sys.executable, "-X", "importtime", "-m", "nft_keras", "data", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code
    assert "nft-keras data" in (done.stdout if code == 0 else done.stderr.splitlines()[-1])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "nft_keras.data" in imported
    assert not imported & {"tensorflow", "keras", "sklearn", "matplotlib"}
    assert "Traceback" not in done.stderr
