"""CT and NFT on tables and pictures that packages carry, beside scikit-learn: python -m bench own-data [SET ...]

The recipe of docs/guides/own-data.md on each set, on ten splits; on the same splits scikit-learn's LogisticRegression
(C chosen by validation error) and HistGradientBoostingClassifier (its defaults), on the features that the networks get.
Needs `pip install -e '.[bench]'`. What is finished is kept in the output folder: the same command goes on.
"""

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np

from bench import report
from nft_keras import data, experiments
from nft_keras.cli.options import positive
from nft_keras.experiments.reports import reference
from nft_keras.experiments.reports.tables import mean_std, p_value

METHODS = {
    "ct": None,
    "nft": {
        "plan": {"eta_max": 10, "simplification_ratio": 0.5},
        "auxiliary": {"name": "mlp", "hidden": 64},
        "auxiliary_optimizer": {"learning_rate": 1.0e-2},
        "penalty": "mean",
    },
    "ct-smooth": {"is": "ct", "training": {"label_smoothing": 0.1}},
}
TRAINING = {"epochs": 60, "learning_rate": 3.0e-3}
_SPLITS = "{} splits of each set in training, validation and test part; the networks' seed is 0."
LABELS = {"ct": "CT", "nft": "NFT", "ct-smooth": "CT, smoothed labels", "lr": "logistic regression", "hgb": "boosting"}


def _of_scikit_learn(name, folder):
    """A table of scikit-learn's as a CSV file."""
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv(folder / f"{name}.csv", index=False)
    return {"name": "csv", "path": f"{name}.csv", "label": "target"}


def _of_package(package, file, label, folder):
    """A CSV file that a package carries."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise SystemExit(f"{package} is missing: pip install -e '.[bench]'")
    path = Path(found.submodule_search_locations[0], file)
    (folder / path.name).write_bytes(path.read_bytes())
    return {"name": "csv", "path": path.name, "label": label}


def _digits(folder):
    """scikit-learn's handwritten digits as pictures, a folder for each digit."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        of_digit = folder / "digits" / str(digit)
        of_digit.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(of_digit / f"{i}.png")
    return {"name": "image-folder", "path": "digits", "image_size": 8, "channels": 1}


# Functions of a folder, which they fill, that return what a recipe calls `dataset`.
SETS = {
    "iris": lambda folder: _of_scikit_learn("iris", folder),
    "wine": lambda folder: _of_scikit_learn("wine", folder),
    "breast-cancer": lambda folder: _of_scikit_learn("breast_cancer", folder),
    "penguins": lambda folder: _of_package("palmerpenguins", "data/penguins.csv", "species", folder),
    "weather": lambda folder: _of_package("vega_datasets", "_data/seattle-weather.csv", "weather", folder),
    "digits": _digits,
}


def main(arguments=None):
    """Prints a row for each set, and writes bench.md and bench.json.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m bench own-data", description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; default: all")
    parser.add_argument("--splits", type=positive, default=10, help="how many (%(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/own-data"), help="folder of the runs (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/own-data"), help="folder of the table (%(default)s)")
    options = parser.parse_args(arguments)
    if unknown := set(options.sets) - set(SETS):
        parser.error(f"unknown set {sorted(unknown)[0]!r}; the sets are {', '.join(SETS)}")
    found = {name: _errors(name, options) for name in options.sets or SETS}
    made = table(found)
    print(made.text())
    command = " ".join(["python -m bench own-data", *options.sets])
    report.write([made], options.out, command, _SPLITS.format(options.splits))
    return 0


def table(found):
    """The table of test errors.

    Args:
        found: {set: {method: list of test errors in percent, one for each split}}, with "examples" and "features".

    Returns:
        `bench.report.Table`.
    """
    note = (
        "Test error in percent of the network that validation chooses, mean and standard deviation over splits. "
        "NFT - CT: difference on the same split."
    )
    head = ["data", "examples", "features", *LABELS.values(), "NFT - CT (points)", "p"]
    made = report.Table("Beside scikit-learn", note, head, values=found)
    for name, of in found.items():
        pairs = list(zip(of["nft"], of["ct"], strict=True))
        differences = [round(ours - ct, 4) for ours, ct in pairs]
        row = [name, f"{of['examples']:,}", f"{of['features']:,}", *(mean_std(of[method]) for method in LABELS)]
        made.rows.append([*row, mean_std(differences, "+"), p_value(pairs)])
    return made


def _errors(name, options):
    """{method: test errors} of a set, and how large it is."""
    folder = options.runs / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    dataset = SETS[name](folder)
    methods = json.loads(json.dumps(METHODS))
    if dataset["name"] == "image-folder":
        methods["nft"]["auxiliary"] = {"name": "unet", "filters": 8, "depth": 1}
    recipe = {
        "name": name,
        "dataset": dataset,
        "classifiers": {"fc-a": {"units": 64}},
        "methods": methods,
        "training": TRAINING,
        "seeds": [0],
        "vary": {"dataset.split_seed": list(range(options.splits))},
    }
    results = experiments.run(recipe, out=options.runs, data_dir=folder, reference=False)
    found = {method: [r["test_error"] for r in results if r["method"] == method] for method in METHODS}
    found |= {"lr": [], "hgb": []}
    for seed in range(options.splits):
        loaded = data.load(**dataset, data_dir=folder, split_seed=seed)
        found["lr"].append(reference.logistic_regression(loaded)["test_error"])
        found["hgb"].append(_boosting(loaded))
    parts = (loaded.train, loaded.valid, loaded.test)
    features = int(np.prod(loaded.input_shape))
    return {**found, "examples": sum(map(len, parts)), "features": features}


def _boosting(dataset):
    """Test error in percent of scikit-learn's histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    x, x_test = (part.x.reshape(len(part), -1) for part in (dataset.train, dataset.test))
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(random_state=0).fit(x, dataset.train.y)
        return round(100 * float((model.predict(x_test) != dataset.test.y).mean()), 4)
