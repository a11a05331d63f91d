"""The page of a recipe's run, in a browser too where there is one."""

import base64
import json
import re
import shutil
import subprocess
from io import BytesIO

import pytest
from PIL import Image

from nft_keras.cli import report, run
from nft_keras.experiments import runs
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports.page import costs, page
from nft_keras.experiments.train import run as training
from tests.experiments.finished import finish

RECIPE = """\
# <b>a recipe</b> & its head
dataset: {name: digits-back-image, train_size: 60, valid_size: 30, test_size: 30}
classifiers: {cnn-gap: {filters: [4]}}
methods:
  ct:
  nft:
    plan: {eta_max: 10, simplification_epochs: 2}
    auxiliary: {name: unet, filters: 2, depth: 1}
training: {epochs: 3}
seeds: [0, 1]
test_every: 1
"""
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "small.yaml").write_text(RECIPE)
    assert run.main([str(folder / "small.yaml"), "--out", str(folder / "out"), "--no-reference"]) == 0
    assert report.main([str(folder / "out" / "small"), "--html"]) == 0
    return folder / "out" / "small"


def text_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_has_tables_curves_pictures_and_the_recipe_in_one_file(folder):
    text = text_of(folder)
    for title in ("Epoch by epoch", "What an epoch takes", "Pictures", "Recipe", "At the drop"):
        assert f"<h2>{title}</h2>" in text
    assert text.count("<table>") == 4 and "<td>NFT</td>" in text
    assert "&lt;b&gt;a recipe&lt;/b&gt; &amp; its head" in text and "<b>a recipe" not in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in re.sub(r'src="[^"]*"', "", text)
    drawn = [source for source in sources if "svg" in source]
    differences, *curves = (base64.b64decode(source.partition(",")[2]).decode() for source in drawn)
    assert "<!-- test error - CT (points)" in differences and differences.count("<!-- NFT -->") == 1
    assert text.index("test error beside classic training") < text.index("At the drop")
    assert len(curves) == 3  # of training, validation and test
    assert curves[0].count("<!-- CT -->") == curves[0].count("<!-- NFT -->") == 1
    pictures = [base64.b64decode(source.partition(",")[2]) for source in sources if "png" in source]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert [Image.open(BytesIO(picture)).size[0] > 300 for picture in pictures] == [True] * 3
    assert captions[4:] == [
        "cnn-gap NFT, seed 0: simplification.png",
        "cnn-gap CT, seed 0: confusion.png",
        "cnn-gap NFT, seed 0: confusion.png",
    ]


def test_what_an_epoch_takes_is_of_each_variation_by_itself(tmp_path):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE + "vary: {dataset.label_noise: [0.0, 0.4]}\n")
    for trial, seconds in zip(load_recipe(recipe, methods=["ct"], seeds=[0]), (1, 50), strict=True):
        folder = finish(tmp_path, trial, 1.0, varied=trial.variation)
        (folder / "history.csv").write_text(f"epoch,phase,seconds\n1,classic,{seconds}\n")
    table = costs(runs.find([tmp_path]))
    assert [line.split(" | ")[-2].strip() for line in table.splitlines()[2:]] == ["1", "50"]
    assert table.startswith("| varied ") and "label_noise=0.4" in table


def test_the_same_run_gives_the_same_page(folder):
    before = text_of(folder)
    assert report.main([str(folder), "--html"]) == 0
    assert text_of(folder) == before


@pytest.mark.skipif(BROWSER is None, reason="no browser")
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_every_picture_and_nothing_is_wider_than_the_window(folder, tmp_path, width):
    measure = (
        "<script>addEventListener('load', () => { document.title = 'measured ' + "
        "[...document.images].every(i => i.complete && i.naturalWidth > 100 && i.clientWidth > 100) + ' ' + "
        "document.images.length + ' ' + (document.documentElement.scrollWidth <= innerWidth) })</script></body>"
    )
    (tmp_path / "page.html").write_text(text_of(folder).replace("</body>", measure), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "<title>measured true 7 true</title>" in shown.stdout, shown.stderr


def test_the_page_does_not_say_whose_home_it_was_run_in(folder, tmp_path, monkeypatch):
    copied = shutil.copytree(folder, tmp_path / "small")
    (copied / "recipe.yaml").write_text(f"# of /home/me/data\n{RECIPE}")
    monkeypatch.setenv("HOME", "/home/me")
    text = page(copied)
    assert "# of ~/data" in text and "/home/me" not in text


def test_what_is_not_the_report_s_or_was_changed_is_not_shown(folder, tmp_path, capsys):
    copy = tmp_path / "small"
    shutil.copytree(folder, copy)
    results = json.loads((copy / "results.json").read_text())
    (copy / "results.json").write_text(json.dumps(results[:1]))
    assert report.main([str(copy), "--html"]) == 0
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text_of(copy))
    assert captions[3:] == ["cnn-gap CT, seed 0: confusion.png"]
    picture = copy / "cnn-gap" / "ct" / "seed-0" / "test" / "confusion.png"
    picture.unlink()
    picture.symlink_to("/etc/passwd")
    assert report.main([str(copy), "--html"]) == 2 and "confusion.png is damaged" in capsys.readouterr().err
    for name in ("report.md", "recipe.yaml", "results.json"):
        before = (copy / name).read_bytes()
        (copy / name).write_bytes(b"\xff" + before)
        assert report.main([str(copy), "--html"]) == 2
        (copy / name).write_bytes(before)
    (copy / "results.json").write_text("[")
    assert report.main([str(copy), "--keep", str(tmp_path / "kept")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4 and all(" damaged" in line for line in said)


def test_a_folder_without_a_run_is_told_and_nothing_is_made(tmp_path, capsys):
    assert report.main([str(tmp_path / "none"), "--html"]) == 2
    said = f"{tmp_path / 'none'}: report.md is not there: --html takes what a run left of one recipe, OUT/RECIPE\n"
    assert capsys.readouterr().err == said and not (tmp_path / "none").exists()


def test_a_run_ends_with_what_to_do_next(folder, capsys):
    assert run.main([str(folder.parents[1] / "small.yaml"), "--out", str(folder.parent), "--no-reference"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"curves, pictures, all on one page: python -m nft_keras report {folder} --html" in lines
    assert f"how data were altered: {folder}/cnn-gap/nft/seed-" in "\n".join(lines)
    last = lines[-1].removeprefix("new inputs, by the best in validation: python -m nft_keras predict ")
    assert last.startswith(f"{folder}/cnn-gap/") and last.endswith(" INPUT")


def test_the_best_in_validation_is_so_by_the_recipe_s_own_measure(tmp_path):
    recipe = "name: r\ndataset: {name: two-moons}\nclassifiers: [fc-a]\nmethods: {ct: }\nseeds: [0, 1]\n"
    (tmp_path / "r.yaml").write_text(f"{recipe}selection_metric: loss\n")
    trials = load_recipe(tmp_path / "r.yaml")
    results = []
    for trial, (error, loss) in zip(trials, ((1.0, 0.9), (2.0, 0.1)), strict=True):
        finish(tmp_path, trial, 1.0).joinpath("preprocessing.json").touch()
        of_trial = {"classifier": "fc-a", "method": "ct", "seed": trial.seed}
        results.append({**of_trial, "valid_error": error, "valid_loss": loss})
    *_, last = training._next(trials, results, tmp_path / "r")
    assert last.endswith(f"{tmp_path / trials[1].folder} INPUT")
