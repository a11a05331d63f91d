"""The pages of docs/ say what the package does: settings, error messages and examples are compared with it."""

import contextlib
import copy
import csv
import dataclasses
import doctest
import gzip
import importlib
import importlib.util
import io
import itertools
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from nft_keras import cli, data
from nft_keras._registry import Registry
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe import settings
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports import reference
from nft_keras.experiments.reports.tables import mean_std, p_value, write_report
from tests.test_wheel import COMMANDS

DOCS = Path(__file__).parents[1] / "docs"


def module(path):
    """A Python file that is in no package."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


hooks = module(DOCS / "hooks.py")

NFT = "methods.nft."
SETTINGS = "reference/settings.md"
PLANNED = [method for method in METHODS if METHODS[method].has_plan]
PLACES = {
    (SETTINGS, "Keys"): ("mnist-rot", "zzz"),
    (SETTINGS, "Dataset"): ("mnist-rot", "dataset.zzz"),
    (SETTINGS, "Training"): ("mnist-rot", "training.zzz"),
    (SETTINGS, "Optimizer"): ("mnist-rot", NFT + "auxiliary_optimizer.zzz"),
    **{(f"methods/{method}.md", "Settings"): ("mnist-rot", f"methods.{method}.zzz") for method in PLANNED},
    **{
        (f"methods/{method}.md", f"Plan of {method}"): ("mnist-rot", f"methods.{method}.plan.zzz") for method in PLANNED
    },
    ("methods/nft.md", "Auxiliary network: unet"): ("mnist-rot", NFT + "auxiliary.zzz"),
    ("methods/nft.md", "Auxiliary network: mlp"): ("imdb", NFT + "auxiliary.zzz"),
}


def sections(page):
    """{heading: text below it, up to the next heading} of a page with what is generated in it."""
    parts = re.split(r"^##+ (.*)$", hooks.filled((DOCS / page).read_text(encoding="utf-8")), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def terms(text):
    """What the definition lists in a text define."""
    return re.findall(r"^`([^`]+)`\n:   ", text, re.M)


def allowed(name, *overrides):
    """The keys that the recipe reader says there are where it meets one that there is not."""
    with pytest.raises(RecipeError, match="unknown key; allowed: ") as error:
        load_recipe(name, overrides)
    return re.search(r"allowed: ([\w, ]+)", str(error.value))[1].split(", ")


@pytest.mark.parametrize("where, place", PLACES.items(), ids=lambda value: value[-1])
def test_the_reference_has_exactly_the_keys_that_the_reader_allows(where, place):
    (page, heading), (name, key) = where, place
    own = data.find(name).options if heading == "Dataset" else ()
    keys = [key for key in allowed(name, f"{key}=1") if key not in own]
    assert terms(sections(page)[heading]) == keys


def test_every_data_set_is_there_with_its_options():
    text = sections("reference/data-sets.md")
    table = hooks.filled((DOCS / "reference/data-sets.md").read_text(encoding="utf-8")).partition("##")[0]
    assert terms(table) == list(data.SPECS)
    common = set(allowed("two-moons", "dataset.zzz=1")) - set(data.find("two-moons").options)
    for name in data.SPECS:
        own = set(allowed("two-moons", f"dataset.name={name}", "dataset.noise=1", "dataset.zzz=1")) - common
        described = {key for heading, below in text.items() if name in heading.split(", ") for key in terms(below)}
        assert described == own


def test_every_classifier_and_method_is_there():
    assert terms(sections(SETTINGS)["Classifiers"]) == list(CLASSIFIERS)
    assert terms(sections(SETTINGS)["Methods"]) == list(METHODS)
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} == set(METHODS)


def test_every_augmentation_is_there():
    assert terms(sections(SETTINGS)["Augmentation"]) == [a.name for a in settings.Augmentations.__args__]


def test_the_defaults_in_the_reference_are_the_reader_s(tmp_path):
    (tmp_path / "bare.yaml").write_text("dataset: digits-back-image\nclassifiers: [fc-a]\nmethods: [ct]\n")
    (trial, *_) = load_recipe(tmp_path / "bare.yaml")
    lines = re.findall(r"^`(\w+)`\n:   .*; (?:default )?(\S+)$", sections(SETTINGS)["Training"], re.M)
    read = dataclasses.asdict(trial.training)
    assert dict(lines) == {key: "optional" if value is None else f"`{value}`" for key, value in read.items()}


def test_a_setting_without_a_description_breaks_the_build(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Undescribed(settings.OptimizerSettings):
        """One more setting."""

        nesterov: bool = False

    monkeypatch.setattr(settings, "TrainingSettings", Undescribed)
    with pytest.raises(KeyError, match="nesterov"):
        hooks.filled("{{ settings TrainingSettings }}")


def result(method, seed, error, **more):
    return dict(classifier="fc-a", method=method, seed=seed, test_error=error, seconds=1.0 + (method != "ct"), **more)


def test_a_method_s_page_has_the_runs_with_that_method_beside_classic_training_on_the_same_seeds(tmp_path):
    (tmp_path / "ours").mkdir()
    ct = [result("ct", seed, error) for seed, error in enumerate([5.0, 6.0, 7.0])]
    ft = [result("ft", 0, 4.0), result("ft", 1, 5.5)]
    others = [result("nft", 0, 9.0, varied="a=1"), result("nft", 0, 8.0, epochs=7)]
    (tmp_path / "ours" / "results.json").write_text(json.dumps([*ct, *ft, *others]))
    head, _, *rows = hooks.against_ct("ft", tmp_path).splitlines()
    assert [cell.strip() for cell in head.split("|")[3:-1]] == ["CT", "FT", "FT - CT", "p", "time"]
    ((run, *cells),) = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert run == "[ours](../../results/ours/report.md)"
    assert cells == ["fc-a", "6.00 ± 1.00", "4.75 ± 1.06", "-0.75 ± 0.35", "0.205", "2.0"]
    assert len(hooks.against_ct("nft", tmp_path).splitlines()) == len(hooks.summary(tmp_path).splitlines()) == 2


def test_methods_are_beside_ct_and_every_control_of_their_run(tmp_path):
    ct = [result("ct", seed, error) for seed, error in enumerate([5.0, 6.0, 7.0])]
    short = [result("short", seed, 4.0, **{"is": "ct"}) for seed in range(3)]
    ours = [result("ours", seed, error, **{"is": "nft"}) for seed, error in enumerate([4.5, 5.0, 4.0])]
    varied = [r | {"varied": "a=1"} for r in (*ct, *ours)]
    varied.append(short[0] | {"varied": "a=2"})
    for name, results in (("a", [*ct, *short, *ours]), ("b", [*ct, *ours]), ("c", varied)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results))
    head, _, *rows = hooks.against_controls(tmp_path).splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "run", "varied", "classifier", "method", "seeds", "test error (%)", "- CT", "p", "- short", "p"
    ]  # fmt: skip
    (of_control, a, c, _) = ([cell.strip() for cell in row.split("|")[2:-1]] for row in rows)
    t = -1.5 / (np.std([-0.5, -1.0, -3.0], ddof=1) / np.sqrt(3))
    p = 1 - abs(t) / np.sqrt(2 + t * t)  # Student's t with two degrees of freedom, in closed form
    t = 0.5 / (0.5 / np.sqrt(3))
    of_short = 1 - t / np.sqrt(2 + t * t)
    errors = ["ours", "3", "4.50 ± 0.50", "-1.50 ± 1.32", f"{p:.3f}"]
    assert of_control[1:5] == ["fc-a", "short", "3", "4.00 ± 0.00"] and of_control[-2:] == ["-", "-"]
    assert a == ["", "fc-a", *errors, "+0.50 ± 0.50", f"{of_short:.3f}"]
    assert c == ["a=1", "fc-a", *errors, "-", "-"]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "ct"])
def test_there_are_results_of_every_method(method):
    assert len(hooks.against_ct(method).splitlines()) > 2


def test_every_run_has_a_page_with_its_report():
    folders = {path.parent.name: path for path in (DOCS.parent / "results").glob("*/report.md")}
    pages = hooks.run_pages()
    assert pages == {f"results/runs/{name}.md": path.read_text(encoding="utf-8") for name, path in folders.items()}


def test_every_section_of_the_benchmark_is_on_a_page():
    headings = {}
    for path in DOCS.parent.glob("results/*/bench.md"):
        text = path.read_text(encoding="utf-8")
        before = "" if path.parent.name == "bench" else f"{path.parent.name}/"
        headings.update({f"{before}{name}": text for name in ("machine", *re.findall(r"^## (.*)$", text, re.M))})
    pages = [path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")]
    assert sorted(re.findall(r"^<!-- \{\{ bench (.*) \}\} -->$", "\n".join(pages), re.M)) == sorted(headings)
    assert all(hooks.bench(heading) in text for heading, text in headings.items())


def kept(run):
    """{method: {seed: result}} of a run in results/."""
    of = {}
    for result in json.loads((DOCS.parent / "results" / run / "results.json").read_text(encoding="utf-8")):
        of.setdefault(result["method"], {})[result["seed"]] = result
    return of


def test_the_answers_have_the_numbers_of_the_results():
    answers = " ".join((DOCS / "results" / "index.md").read_text(encoding="utf-8").split())
    forms = {method: [of[seed]["test_error"] for seed in range(5)] for method, of in kept("small-imdb-forms").items()}
    for other in ("ct", "ct-short", "ct-smooth"):
        pairs = list(zip(forms[other], forms["nft-as-coded"], strict=True))
        assert f"{mean_std([a - b for a, b in pairs])} better" in answers.replace("points better", "better")
        assert f"(p {p_value(pairs)})" in answers
    images = {m: [of[seed]["test_error"] for seed in range(5)] for m, of in kept("evening-mnist-back-image").items()}
    for method, p in (("nft", ""), ("nft-as-coded", "(worse, p {})"), ("ct-smooth", "(p {})")):
        pairs = list(zip(images[method], images["ct"], strict=True))
        said = f"{mean_std([a - b for a, b in pairs], '+')} {p.format(p_value(pairs))}"
        assert said in answers.replace(" points beside CT", " "), said
    rectangles = kept("evening-rectangles-image")
    rectangles = {method: [of[seed]["test_error"] for seed in range(5)] for method, of in rectangles.items()}
    for method, other, said in (
        ("nft", "ct", "as printed {} points beside CT"),
        ("nft-as-coded", "ct", "as coded {} (p {}, of four"),
        ("nft-as-coded", "ct-smooth", "{} beside smoothed labels (p {})"),
    ):
        pairs = list(zip(rectangles[method], rectangles[other], strict=True))
        said = said.format(mean_std([a - b for a, b in pairs], "+"), p_value(pairs))
        assert said in answers, said
    moons = kept("two-moons-96")
    stuck = {method: sum(result["test_error"] > 5 for result in of.values()) for method, of in moons.items()}
    assert f"of 96 seeds CT leaves {stuck['ct']} in" in answers and f"from the same weights {stuck['nft']} (" in answers
    seeds = moons["ct"]
    twice = [min(pair, key=lambda result: result["valid_error"]) for pair in itertools.combinations(seeds.values(), 2)]
    nft, ct = (sum(result["seconds"] for result in moons[method].values()) for method in ("nft", "ct"))
    left = 96 * sum(result["test_error"] > 5 for result in twice) / len(twice)
    said = f"(NFT: {nft / ct:.1f} times), does as well: over all pairs of these seeds it leaves {left:.1f} of 96"
    assert said in answers


def with_wrong_labels(folder):
    """A run that varies labels: its errors, what was left at the drop, a function for a difference to CT and its p."""
    errors, drops = {}, {"nft": [], "nft-as-coded": []}
    for r in json.loads((folder / "results.json").read_text(encoding="utf-8")):
        for which, key in (("best", "test_error"), ("last", "last_test_error")):
            errors.setdefault((which, r["varied"].split("=")[1], r["method"]), {})[r["seed"]] = r[key]
        if "drop" in r:
            drops[r["method"]].append(r["drop"])

    def row(which, labels, method):
        ours, ct = errors[which, labels, method], errors[which, labels, "ct"]
        assert ours.keys() == ct.keys()
        pairs = [(ours[seed], ct[seed]) for seed in sorted(ours)]
        return mean_std([round(a - b, 4) for a, b in pairs], "+"), p_value(pairs)

    return errors, drops, row


def test_the_page_on_text_has_the_numbers_of_its_runs():
    page = " ".join((DOCS / "results" / "text.md").read_text(encoding="utf-8").split())
    titles = {"ct-short": "ct-short", "ct-smooth": "ct-smooth", "nft": "NFT, as printed"}
    titles |= {"nft-as-coded": "NFT, as the authors' code", "nft-untrained": "the same, never learning"}
    for run in ("small-wines-forms", "small-imdb-forms-again"):
        of = {name: {s: r["test_error"] for s, r in by_seed.items()} for name, by_seed in kept(run).items()}
        assert f"| CT | {mean_std([*of['ct'].values()])} |" in page
        for name, title in titles.items():
            cells = [mean_std([*of[name].values()])]
            for other in ("ct", "ct-short") if name.startswith("nft") else ("ct",):
                pairs = [(of[name][seed], of[other][seed]) for seed in sorted(of[name])]
                cells += [mean_std([round(a - b, 4) for a, b in pairs], "+"), p_value(pairs)]
            assert f"| {title} | {' | '.join(cells)} |" in page
        with gzip.open(DOCS.parent / "results" / run / "histories.csv.gz", "rt", newline="") as file:
            altered = [row for row in csv.DictReader(file) if row["method"] == "nft-untrained" and row["eta"]]
        by_seed = {}
        for row in (row for row in altered if row["phase"] == "simplified"):
            by_seed.setdefault(row["seed"], []).append(float(row["relative_perturbation"]))
        assert all(values == pytest.approx([values[0]] * len(values), rel=1e-4) for values in by_seed.values())
        (entry,) = json.loads((DOCS.parent / "results" / run / "reference.json").read_text(encoding="utf-8"))
        assert f"| logistic regression | {entry['test_error']:.2f} |" in page
    ten = {
        name: kept("small-imdb-forms")[name] | kept("small-imdb-forms-again")[name] for name in kept("small-imdb-forms")
    }
    for other, said in (("ct", "beside CT"), ("ct-short", "beside `ct-short`"), ("ct-smooth", "beside `ct-smooth`")):
        pairs = [(ten["nft-as-coded"][seed]["test_error"], ten[other][seed]["test_error"]) for seed in range(10)]
        assert f"{mean_std([round(a - b, 4) for a, b in pairs], '+')} {said} (p {p_value(pairs)})" in page


def test_the_page_on_speed_has_the_errors_of_cheaper_forms():
    page = " ".join((DOCS / "results" / "speed.md").read_text(encoding="utf-8").split())
    of = kept("evening-cheaper")
    for name, by_seed in of.items():
        best, last = ([r[key] for r in by_seed.values()] for key in ("test_error", "last_test_error"))
        pairs = [(by_seed[seed]["test_error"], of["nft"][seed]["test_error"]) for seed in sorted(by_seed)]
        difference = (
            f"{mean_std([round(a - b, 4) for a, b in pairs], '+')} | {p_value(pairs)}" if name != "nft" else "|"
        )
        assert f"| {mean_std(best)} | {difference} | {mean_std(last)} |" in page, name


def test_the_page_on_label_noise_has_the_numbers_of_its_run():
    page = " ".join((DOCS / "results" / "label-noise.md").read_text(encoding="utf-8").split())
    answers = " ".join((DOCS / "results" / "index.md").read_text(encoding="utf-8").split())
    folder = DOCS.parent / "results" / "evening-label-noise"
    errors, drops, row = with_wrong_labels(folder)
    for which, control in (("best", "ct-smooth"), ("last", "ct-short")):
        for noise in ("0.0", "0.4", "0.8"):
            cells = [mean_std([*errors[which, noise, "ct"].values()])]
            cells += [cell for method in ("nft", "nft-as-coded", control) for cell in row(which, noise, method)]
            assert f"| {float(noise):.0%} | ".replace("%", " %") + " | ".join(cells) + " |" in page
    for noise in ("0.4", "0.8"):
        assert errors["best", noise, "ct-short"] == errors["best", noise, "ct"]
    for method, said in (("nft", "in {} of {} epochs, as coded"), ("nft-as-coded", "as coded in {} of {}.")):
        harder, epochs = (sum(drop[key] for drop in drops[method]) for key in ("harder_epochs", "simplified_epochs"))
        assert said.format(epochs - harder, epochs) in page
    with gzip.open(folder / "histories.csv.gz", "rt", newline="") as file:
        epochs = list(csv.DictReader(file))
    for noise, method, said in (
        ("0.4", "nft", "{} points beside CT's with 40 % (p {})"),
        ("0.8", "nft", "{} with 80 % (p {}), as printed"),
        ("0.0", "nft-as-coded", "as coded {} with right labels (p {})"),
        ("0.4", "nft-as-coded", "{} with 40 % (p {}). So"),
    ):
        best = {}  # of the epochs after the drop
        for r in epochs:
            if r["variation"].split("=")[1] == noise and int(r["epoch"]) > 15:
                key = r["method"], r["seed"]
                best[key] = min(float(r["valid_error"]), best.get(key, math.inf))
        pairs = [(best[method, str(seed)], best["ct", str(seed)]) for seed in range(5)]
        assert said.format(mean_std([a - b for a, b in pairs], "+"), p_value(pairs)) in page
    ends = [r for r in epochs if (r["variation"], r["epoch"]) == ("dataset.label_noise=0.4", "30")]
    ends = {m: np.mean([float(r["error"]) for r in ends if r["method"] == m]) for m in ("nft", "ct", "nft-as-coded")}
    said = "training error ends at {nft:.1f} %, CT's at {ct:.1f} %. As coded it learns fewer ({coded:.1f} %)"
    assert said.format(**ends, coded=ends["nft-as-coded"]) in page
    references = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    assert "{:.2f}, {:.2f} and {:.2f} %".format(*(entry["test_error"] for entry in references)) in page
    for said, of in (
        ("as printed {} points beside CT, as coded", ("best", "0.4", "nft")),
        ("as coded {} (both worse", ("best", "0.4", "nft-as-coded")),
        ("at the last one {}, while", ("last", "0.4", "nft")),
        ("half of the epochs has {} (p {})", ("last", "0.4", "ct-short")),
    ):
        assert said.format(*row(*of)) in answers


def test_the_page_on_label_noise_has_the_numbers_of_labels_that_people_gave():
    page = " ".join((DOCS / "results" / "label-noise.md").read_text(encoding="utf-8").split())
    answers = " ".join((DOCS / "results" / "index.md").read_text(encoding="utf-8").split())
    folder = DOCS.parent / "results" / "evening-cifar10-human"
    errors, drops, row = with_wrong_labels(folder)
    for which, control in (("best", "ct-smooth"), ("last", "ct-short")):
        for labels in ("worse", "aggre"):
            cells = [mean_std([*errors[which, labels, "ct"].values()])]
            cells += [cell for method in ("nft", "nft-as-coded", control) for cell in row(which, labels, method)]
            assert f"| {labels} | {' | '.join(cells)} |" in page
    assert errors["best", "worse", "ct-short"] == errors["best", "worse", "ct"]
    for method, said in (("nft", "in {} of {} epochs, as coded"), ("nft-as-coded", "as coded in {} of {}")):
        harder, epochs = (sum(drop[key] for drop in drops[method]) for key in ("harder_epochs", "simplified_epochs"))
        assert said.format(epochs - harder, epochs) in page
    references = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    assert "{:.2f} and {:.2f} %".format(*(entry["test_error"] for entry in references)) in page
    for said, of in (
        ("as printed {} points beside CT (p {})", ("best", "worse", "nft")),
        ("as coded {} (p {})", ("best", "worse", "nft-as-coded")),
    ):
        assert said.format(*row(*of)) in answers


def test_the_page_on_reproduction_has_the_numbers_of_its_runs():
    page = " ".join((DOCS / "results" / "published.md").read_text(encoding="utf-8").split())
    runs, before = kept("imdb"), kept("imdb-as-printed")
    named = {"ct": "CT", "ct-short": "ct-short", "ct-smooth": "ct-smooth", "nft-as-coded": "NFT, as the authors' code"}
    assert set(runs) == set(named)
    for method, of in runs.items():
        trials = [of[seed] for seed in sorted(of)]
        each = ["{:.2f}".format, "{:.2f}".format, str]
        keys = ("test_error", "valid_error", "best_epoch")
        others = [", ".join(show(t[key]) for t in trials) for key, show in zip(keys, each, strict=True)]
        mean, last = (mean_std([t[key] for t in trials]) for key in ("test_error", "last_test_error"))
        seeds = ", ".join(map(str, sorted(of)))
        assert f"| {named[method]} | {seeds} | {mean} | {' | '.join(others)} | {last} |" in page
    short, classic = ([of for _, of in sorted(runs[method].items())] for method in ("ct-short", "ct"))
    assert {of["best_epoch"] for of in short + classic} == {1}  # "both choose the first epoch"
    apart = [f"{abs(a['test_error'] - b['test_error']):.2f}" for a, b in zip(short, classic, strict=True)]
    assert apart[0] == "0.00" and f"differ from CT's by {' and '.join(apart[1:])} points" in page
    forms = {
        "ct": "CT",
        "nft": "NFT, as printed",
        "nft-first-epoch": "altered data in epoch 1 too",
        "nft-training-mode": "the classifier in training mode while theta is updated",
        "nft-as-coded": "the penalty counted twice: as the authors' code",
    }
    added, before_it = kept("evening-imdb-forms"), [None, *forms]
    for method, above in zip(forms, before_it, strict=False):
        seeds = sorted(added[method])
        row = [forms[method], ", ".join(map(str, seeds))]
        row += [mean_std([added[method][seed][key] for seed in seeds]) for key in ("test_error", "valid_error")]
        for other in (None if above == "ct" else above, "ct" if above else None):
            errors = [added[name] for name in (method, other) if other]
            both = sorted(set.intersection(*map(set, errors))) if errors else []
            pairs = [tuple(of[seed]["test_error"] for of in errors) for seed in both]
            row += [mean_std([round(a - b, 4) for a, b in pairs], "+"), p_value(pairs)] if pairs else ["", ""]
        assert f"| {' | '.join(row)} |".replace("  |", " |") in page, row
    coded, classic = added["nft-as-coded"], added["ct"]
    pairs = [(coded[seed]["test_error"], classic[seed]["test_error"]) for seed in range(5)]
    difference, p = mean_std([round(a - b, 4) for a, b in pairs]), p_value(pairs)
    *most, last = (f"{b - a:.2f}" for a, b in pairs)
    fewer = f"{difference[1:]} points fewer errors, with each of five seeds ({', '.join(most)} and {last}; p {p})"
    assert fewer in page and f"three seeds it did (p {p_value(pairs[:3])})" in page
    ours, theirs = (f"{sum(errors) / 5:.2f} %" for errors in zip(*pairs, strict=True))
    readme = " ".join((DOCS.parent / "README.md").read_text(encoding="utf-8").split())
    assert f"better with each of five seeds ({ours}, CT {theirs}, p {p})" in readme
    for name in ("README.md", "docs/results/index.md"):
        text = " ".join((DOCS.parent / name).read_text(encoding="utf-8").split())
        for method in ("ct", "nft-as-coded"):
            assert mean_std([trial["test_error"] for trial in runs[method].values()]) in text
    coded = runs["nft-as-coded"]
    gains = [f"{runs['ct'][seed]['test_error'] - coded[seed]['test_error']:.2f}" for seed in sorted(coded)]
    assert f"{', '.join(gains[:-1])} and {gains[-1]} points better from the same weights" in page
    pairs = [(coded[seed]["test_error"], runs["ct"][seed]["test_error"]) for seed in sorted(coded)]
    assert f"three seeds decide nothing yet (p {p_value(pairs)})" in page
    assert f"| NFT, as printed | 0 | {before['nft'][0]['test_error']:.2f} |" in page
    assert f"whose CT had {before['ct'][0]['test_error']:.2f} %" in page
    with gzip.open(DOCS.parent / "results" / "imdb" / "histories.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))

    def between(column, method, first, last=30, form="{:.1f} to {:.1f} %"):
        of = [float(r[column]) for r in rows if r["method"] == method and first <= int(r["epoch"]) <= last]
        return form.format(min(of), max(of))

    assert f"its validation error is {between('valid_error', 'nft-as-coded', 16, 16)}, and" in page
    assert f"in epoch 30 it has {between('valid_error', 'nft-as-coded', 30)}." in page
    assert f"stays between {between('valid_error', 'ct', 2, form='{:.1f} and {:.1f} %')}." in page
    assert f"{between('error', 'nft-as-coded', 4, 15)} on the altered reviews from epoch 4 on" in page
    assert f"{between('error', 'nft-as-coded', 16, 16)} on the same reviews, unaltered" in page
    assert float(between("valid_error", "nft-as-coded", 1, 15).split()[0]) >= 11.9  # "is never below"


def test_the_page_on_controls_says_how_much_was_altered_in_its_runs():
    page = " ".join((DOCS / "results" / "controls.md").read_text(encoding="utf-8").split())
    changes = {}
    for run in ("evening-mnist-back-image", "evening-rectangles-image"):
        with gzip.open(DOCS.parent / "results" / run / "histories.csv.gz", "rt", newline="") as file:
            for row in (row for row in csv.DictReader(file) if row["phase"] == "simplified"):
                of = changes.setdefault(row["method"], {}).setdefault(run, {})
                of.setdefault(int(row["epoch"]), []).append(float(row["relative_perturbation"]))
    said = {"nft": "{} and {} % of the variance in the first simplified epoch, and less than 1 % in {} and {} of {};"}
    said["nft-as-coded"] = "the change is less than 1 % in {2} and {3} of {4} "
    for method, runs in changes.items():
        first = [f"{100 * np.mean(of[min(of)]):.1f}" for of in runs.values()]
        all_of_it = [[each for epoch in of.values() for each in epoch] for of in runs.values()]
        little = [sum(each < 0.01 for each in run) for run in all_of_it]
        assert said[method].format(*first, *little, *{len(run) for run in all_of_it}) in page
    assert min(np.mean(of[1]) for of in changes["nft-as-coded"].values()) > 3


LINKS = (
    "[p](docs/a.md#parts) ![m](docs/methods/ft.png) [r](results/README.md) [t](results/two/report.md)"
    " [n](notebooks/n.ipynb) [c](CONTRIBUTING.md) [w](https://example.org/docs/) [h](#here)"
)


@pytest.mark.parametrize(
    "url, contributing", [("", "c"), ("https://example.org/r", "[c](https://example.org/r/blob/main/CONTRIBUTING.md)")]
)
def test_a_link_of_the_readme_leads_to_the_page_that_shows_the_file(tmp_path, url, contributing):
    (tmp_path / "README.md").write_text(LINKS)
    text = hooks.readme(tmp_path / "README.md")
    assert hooks.linked(text, "index.md", url) == (
        "[p](a.md#parts) ![m](methods/ft.png) [r](results/index.md) [t](results/runs/two.md)"
        f" [n](notebooks/n.md) {contributing} [w](https://example.org/docs/) [h](#here)"
    )


def test_a_link_out_of_the_pages_is_right_in_the_repository_and_on_the_site():
    for path in DOCS.rglob("*.md"):
        for to in re.findall(r"\]\((\.\./[^)#]*)", path.read_text(encoding="utf-8")):
            assert (path.parent / to).exists(), (path, to)
    text = "[r](../../results/two/report.md) [f](../methods/ft.md)"
    assert hooks.linked(text, "results/index.md", "") == "[r](runs/two.md) [f](../methods/ft.md)"


def test_an_index_page_has_the_readme_with_absolute_links_or_none():
    described = module(DOCS.parent / "setup.py").described
    site = "https://example.org/r"
    assert described(LINKS, site) == (
        f"[p]({site}/blob/main/docs/a.md#parts) ![m]({site}/raw/main/docs/methods/ft.png)"
        f" [r]({site}/blob/main/results/README.md) [t]({site}/blob/main/results/two/report.md)"
        f" [n]({site}/blob/main/notebooks/n.ipynb) [c]({site}/blob/main/CONTRIBUTING.md)"
        " [w](https://example.org/docs/) [h](#here)"
    )
    assert described(LINKS, "") == "p *m* r t n c [w](https://example.org/docs/) [h](#here)"
    readme = described((DOCS.parent / "README.md").read_text(encoding="utf-8"), "")
    assert "](" not in readme and "`nft-keras run" in readme


def test_the_address_of_the_repository_is_set_in_one_place(tmp_path):
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = nft_keras\nurl = https://github.com/someone/nft_keras/\n")
    url = hooks.repository(tmp_path / "setup.cfg")
    assert url == "https://github.com/someone/nft_keras"
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = nft_keras\n# url = https://github.com/OWNER/nft_keras\n")
    assert hooks.repository(tmp_path / "setup.cfg") == ""
    for path in (DOCS.parent / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert hooks.addressed(copy.deepcopy(notebook), path.name, hooks.repository()) == notebook
        text, install = hooks.addressed(copy.deepcopy(notebook), path.name, url).cells[:2]
        colab = f"https://colab.research.google.com/github/someone/nft_keras/blob/main/notebooks/{path.name}"
        assert text.source.splitlines()[0].endswith(f"]({colab})") and f'REPOSITORY = "{url}"' in install.source
        text, install = hooks.addressed(copy.deepcopy(notebook), path.name, "https://example.org/r").cells[:2]
        assert "colab" not in text.source and 'REPOSITORY = "https://example.org/r"' in install.source
        changed = hooks.addressed(copy.deepcopy(notebook), path.name, url)
        assert hooks.addressed(changed, path.name, hooks.repository()) == notebook


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_a_table_of_more_than_three_columns_has_figures_and_not_sentences(path):
    text = re.sub(r"^```.*?^```", "", hooks.filled(path.read_text(encoding="utf-8")), flags=re.M | re.S)
    for line in re.findall(r"^\|(.*[^-|\s].*)\|$", text, re.M):
        cells = [re.sub(r"\]\(.*?\)", "]", cell).strip() for cell in line.split("|")]
        assert len(cells) <= 3 or max(map(len, cells)) <= 60, line


@pytest.mark.parametrize("path", hooks.sources(), ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_no_empty_line_cuts_a_table(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert re.fullmatch(r"\|[-:| ]+\|", table.splitlines()[1]), table


@pytest.mark.parametrize("path", hooks.sources(), ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_what_is_generated_in_a_page_is_as_python_docs_hooks_makes_it(path):
    text = path.read_text(encoding="utf-8")
    assert hooks.rewritten(text) == text
    assert text.count("<!-- {{ ") == text.count("<!-- end -->") == hooks.rewritten(text).count("<!-- end -->")


def test_what_is_generated_in_a_page_is_made_anew_and_the_rest_left():
    mark = "<!-- {{ settings OptimizerSettings }} -->"
    made = f"{mark}\n\n{hooks.settings_of('OptimizerSettings')}\n\n<!-- end -->"
    assert hooks.rewritten(f"a\n{mark}\nold\n<!-- end -->\nb\n{made}\n") == f"a\n{made}\nb\n{made}\n"


@pytest.mark.parametrize(
    "path", sorted((DOCS.parent / "results").glob("*/results.json")), ids=lambda path: path.parent.name
)
def test_a_report_in_results_is_that_of_its_results(path, tmp_path):
    """Rewritten from results.json it is the same; it tells commit, machine and date, and no path of a machine."""
    text, results = (
        path.with_name("report.md").read_text(encoding="utf-8"),
        json.loads(path.read_text(encoding="utf-8")),
    )
    write_report(path.parent.name, results, tmp_path, reference.read(path.parent))
    assert (tmp_path / path.parent.name / "report.md").read_text(encoding="utf-8") == text
    for result in results:
        assert re.fullmatch(r"\d\.\d\.\d [0-9a-f]{7,}", result["environment"]["nft_keras"])
        assert not re.search(r"(^|[\s(])[/~]", result["provenance"])
    assert path.with_name("recipe.yaml").exists()


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("page", [*(f"methods/{method}.md" for method in METHODS), "guides/fit.md", "../README.md"])
def test_the_example_of_a_page_trains(page, tmp_path, monkeypatch):
    import numpy as np
    import tensorflow as tf

    from nft_keras.classifiers import fc_a

    monkeypatch.chdir(tmp_path)
    names = {"classifier": fc_a((28, 28, 1), 2), "x": np.zeros((4, 28, 28, 1), "float32"), "y": np.zeros(4, "int32")}
    names["train"] = names["valid"] = tf.data.Dataset.from_tensor_slices((names["x"], names["y"])).batch(2)
    (program,) = blocks(page, "python")
    short = re.sub(r"\bepochs=\d+", "epochs=3", re.sub(r"(simplification_epochs|max_steps)=\d+", r"\1=2", program))
    exec(short if "filters=" in short else short.replace(" unet(", " unet(filters=4, depth=1, "), names)
    assert Path("classifier.keras").exists() == (page != "methods/ct.md")
    assert len(names.get("model", names["classifier"]).history.epoch) == 3


@pytest.mark.parametrize("n", range(3))
def test_the_examples_of_what_is_altered_train(n, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, names = blocks("guides/inputs.md", "python")[n], {}
    assert len(program.strip().splitlines()) <= 20
    exec(program, names)
    history = names["model"].history.history
    assert history["perturbation"][1] > history["perturbation"][-1] == 0
    assert Path("classifier.keras").exists() == (n > 0)


@pytest.mark.slow
def test_the_page_of_own_data_leads_from_a_table_to_predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(blocks("guides/own-data.md", "python")[0], {})
    Path("wines.yaml").write_text(blocks("guides/own-data.md", "yaml")[0])
    consoles = "\n".join(blocks("guides/own-data.md", "console"))
    show, train, *rest = [line[2:] for line in consoles.splitlines() if line.startswith("$ ")]
    expected = consoles.partition("\n")[2].partition("\n$ ")[0].strip()
    out, said = both(show)
    kept = [line for line in expected.splitlines() if "left out" not in line]
    assert re.fullmatch(re.escape("\n".join(kept)).replace(r"\.\.\.", "[^$]*"), out.strip())
    assert said.strip() in expected
    run(f"{train} --seeds 0 --set training.epochs=4")
    assert len(list(tmp_path.rglob("result.json"))) == 2
    printed = {command.split()[3]: both(command)[0] for command in rest}
    assert list(printed) == ["predict", "evaluate", "export"] and "178 examples: error" in printed["evaluate"]
    header, *rows = printed["predict"].splitlines()
    assert header.startswith("input,class,probability,") and len(rows) == 5
    assert Path("looked-at/confusion.png").exists() and Path(printed["export"].strip()).exists()
    for line in "\n".join(blocks("guides/own-data.md", "yaml")).splitlines():
        if line.startswith("dataset: "):
            Path("line.yaml").write_text(f"{line}\nclassifiers: [fc-a]\nmethods: [ct]\n")
            load_recipe("line.yaml")


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Two classes of small pictures in photographs/, two more pictures in new/; this is the working directory."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(22):
        folder = tmp_path / "photographs" / ("dark", "light")[i % 2] if i < 20 else tmp_path / "new"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(100 * (i % 2), 156 + 100 * (i % 2), (20, 30, 3), "uint8")).save(
            folder / f"{i}.png"
        )
    monkeypatch.chdir(tmp_path)


SHORT = "--seeds 0 --no-reference --set training.epochs=3"


def test_the_recipe_for_pictures_trains_and_its_classifier_predicts(photographs):
    page = (DOCS / "guides/own-data.md").read_text()
    (recipe,) = [block for block in blocks("guides/own-data.md", "yaml") if "resize: pad" in block]
    (predict,) = [block for block in blocks("guides/own-data.md", "bash") if "predict" in block]
    Path("pictures.yaml").write_text(recipe)
    command = "python -m nft_keras.run pictures.yaml --data-dir ."
    assert f"`{command}`" in page
    run(f"{command} {SHORT} 'dataset.image_size=[16, 24]'")
    assert len(list(Path("runs").rglob("result.json"))) == 2
    assert run(predict) == ""
    assert len(Path("classes.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_the_backbone_for_pictures_trains(photographs):
    recipe, backbone = [
        block for block in blocks("guides/own-data.md", "yaml") if re.search("^classifiers", block, re.M)
    ][1:]
    Path("pictures.yaml").write_text(recipe.replace("classifiers: [cnn-gap]\n", backbone))
    small = "dataset.image_size=32 classifiers.backbone.weights=none classifiers.backbone.trainable_from=2"
    run(f"python -m nft_keras.run pictures.yaml --data-dir . {SHORT} {small}")
    assert {path.parts[2] for path in Path("runs").rglob("result.json")} == {"backbone"}


@pytest.mark.parametrize("method", METHODS)
def test_the_recipe_on_a_method_s_page_is_right(method, tmp_path):
    (methods,) = blocks(f"methods/{method}.md", "yaml")
    (tmp_path / "mine.yaml").write_text(f"dataset: digits-back-image\nclassifiers: [cnn-a]\n{methods}")
    assert {trial.method for trial in load_recipe(tmp_path / "mine.yaml")} == {method}


def test_the_recipe_that_the_guide_begins_with_is_right(tmp_path):
    (tmp_path / "mine.yaml").write_text(blocks("guides/recipes.md", "yaml")[0])
    assert {trial.method for trial in load_recipe(tmp_path / "mine.yaml")} == {"ct", "nft"}


def test_the_variants_in_the_guide_are_as_the_text_says(tmp_path):
    (text,) = [block for block in blocks("guides/recipes.md", "yaml") if "is: nft" in block]
    (tmp_path / "variants.yaml").write_text(text)
    ct, short, nft, joint = load_recipe(tmp_path / "variants.yaml", seeds=[0])
    assert (short.method, short.kind, joint.method, joint.kind) == ("ct-short", "ct", "nft-joint", "nft")
    assert (ct.training.epochs, short.training.epochs, joint.training) == (12, 6, nft.training)
    assert (nft.method_settings.plan.eta_max, joint.method_settings.plan.eta_max) == (20, 40)
    assert joint.method_settings.phases == "joint" and joint.method_settings.auxiliary == nft.method_settings.auxiliary
    changed = load_recipe(tmp_path / "variants.yaml", ["methods.nft-joint.plan.eta_max=10"], ["nft-joint"], seeds=[0])
    assert changed[0].method_settings.plan.eta_max == 10


def test_the_page_of_commands_has_them_all():
    assert set(COMMANDS) == set(cli.VERBS) - {"version"}
    on_page = re.findall(r"^<!-- \{\{ help (\w+) \}\} -->$", (DOCS / "reference/commands.md").read_text(), re.M)
    assert set(on_page) == set(COMMANDS) - {"recipes"}
    assert hooks.command_help("predict").startswith("```text\nusage: nft-keras predict ")


def test_the_map_of_the_code_names_what_is_there():
    root = DOCS.parent
    text = (root / "CONTRIBUTING.md").read_text().partition("## The map of the code")[2].partition("\n\nImports")[0]
    paths = [path for first in re.findall(r"^\| (.*?) \|", text, re.M) for path in re.findall(r"`(.*?)`", first)]
    assert len(paths) > 15
    for path in paths:
        assert (root / path).exists() or (root / "nft_keras" / path).exists(), path
    there = {(root / path).resolve() if (root / path).exists() else root / "nft_keras" / path for path in paths}
    package = root / "nft_keras"
    rooms = {path for path in package.glob("*") if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {package / "__init__.py"} <= there


def blocks(page, language):
    """The code blocks of a page in a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\b.*\n((?:.*\n)*?)```", text, re.M)


# Error messages


def entries():
    """{heading: text} of the pages of error messages, those of commands."""
    found = {}
    for page, heading in (("recipes", "##"), ("commands", "###")):
        text = (DOCS / f"reference/errors/{page}.md").read_text(encoding="utf-8")
        parts = re.split(rf"^{heading} (.*)$", text, flags=re.M)
        found |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return found


def broken_package(folder, monkeypatch):
    """Makes the package of docs/guides/extend.md look installed, without its module."""
    info = folder / "rings_for_nft-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rings-for-nft\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nft_keras.datasets]\nrings = rings_for_nft:RINGS\n")
    monkeypatch.syspath_prepend(folder)
    declared = Registry("nft_keras.datasets", data.Spec, {})._declared
    monkeypatch.setitem(vars(data.SPECS), "_declared", declared)


def run(command):
    """What a command line, run in this process, says on stderr."""
    return both(command)[1]


def both(command):
    """What a command line, run in this process, prints and what it says on stderr."""
    words = shlex.split(command)
    _, _, module, *arguments = words[words.index("python") :]
    main = cli.main if module == "nft_keras" else importlib.import_module(module).main
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(arguments)
    assert not code or errors.getvalue()
    return out.getvalue(), errors.getvalue()


TRAINING = "python -m nft_keras.run two-moons --methods ct --seeds 0 --set training.epochs=2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which the trial that several entries begin with was run."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        assert run(TRAINING) == ""
    return folder


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("heading, text", entries().items(), ids=lambda value: value.partition("\n")[0])
def test_a_command_of_the_page_prints_the_message_below_it(heading, text, trained, tmp_path, monkeypatch):
    from nft_keras.data.io.cache import one_at_a_time

    if heading == "a package that is not installed":
        for package in ("onnx", "tf2onnx", "optuna"):
            monkeypatch.setitem(sys.modules, package, None)
    if heading == "a back end that does not train":
        monkeypatch.setattr("nft_keras.backend.backend_name", lambda: "numpy")
    if heading == "a package of yours that is broken":
        broken_package(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    if f"$ {TRAINING}\n" in text:
        shutil.copytree(trained / "runs", "runs")
    monkeypatch.setenv("NFT_DATA_DIR", str(tmp_path / "nothing"))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    for language, title, block in re.findall(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```', text, re.M | re.S):
        if title:
            Path(title).write_text(block)
            continue
        assert language == "console"
        for command, message in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            in_use = one_at_a_time(Path("runs/two-moons/.lock")) if heading == "in use" else contextlib.nullcontext()
            with in_use:
                said = run(command)
            assert re.fullmatch(re.escape(message).replace(r"\.\.\.", ".*"), said), said


def test_a_program_of_the_page_raises_the_error_below_it():
    import keras
    import numpy as np

    from nft_keras import DevelopmentalPlan, FriendlyModel
    from nft_keras.auxiliaries import mlp

    names = {
        "keras": keras,
        "DevelopmentalPlan": DevelopmentalPlan,
        "FriendlyModel": FriendlyModel,
        "mlp": mlp,
        "classifier": keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")]),
        "auxiliary": mlp(2, hidden=4),
        "x": np.zeros((4, 2), "float32"),
        "y": np.zeros(4, "int32"),
    }
    program = "\n".join(blocks("reference/errors/programs.md", "pycon"))
    test = doctest.DocTestParser().get_doctest(program, names, "reference/errors/programs.md", None, 0)
    assert len(test.examples) > 10
    said = io.StringIO()
    assert doctest.DocTestRunner().run(test, out=said.write).failed == 0, said.getvalue()


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where the site is built, with warnings as errors."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run(command, cwd=DOCS.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.parametrize(
    "words, page",
    [
        ("EarlyStopping", "guides/fit.html"),
        ("resume", "guides/running.html"),
        ("label noise", "results/label-noise.html"),
        ("GPU", "guides/devices.html"),
        ("simplification_epochs", "methods/nft.html"),
    ],
)
def test_search_finds(site, words, page):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"] if all_words(words, entry)}
    assert page in found


def all_words(words, entry):
    """Whether an entry of the search index has all words, as words of their own."""
    text = f"{entry['title']} {entry['text']}".lower()
    return set(words.lower().split()) <= set(re.findall(r"\w+", text))


@pytest.mark.slow
@pytest.mark.xdist_group("site")
def test_the_site_has_the_notebooks_with_their_pictures(site):
    for path in (DOCS.parent / "notebooks").glob("*.ipynb"):
        page = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        pictures = re.findall(rf'src="({path.stem}_files/[^"]+\.png)"', page)
        assert pictures and all((site / "notebooks" / picture).stat().st_size > 1000 for picture in pictures)
        assert (site / "notebooks" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.xdist_group("site")
def test_without_an_address_no_page_links_to_a_repository_and_with_one_every_page_does(site, monkeypatch):
    from mkdocs.config import load_config

    page = (site / "guides" / "fit.html").read_text(encoding="utf-8")
    assert ("/edit/main/docs/guides/fit.md" in page) == bool(hooks.repository())
    monkeypatch.setattr(hooks, "repository", lambda: "https://github.com/someone/nft_keras")
    config = load_config(str(DOCS.parent / "mkdocs.yml"))
    hooks.on_config(config)
    assert (config.repo_url, config.edit_uri) == ("https://github.com/someone/nft_keras", "edit/main/docs/")
