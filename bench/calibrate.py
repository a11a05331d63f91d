"""Are the generated data sets as hard as the published ones? python -m bench calibrate [SET ...]

Three classifiers on each set that `nft_keras.data.sources.generate` draws: an SVM (RBF kernel, C 10, gamma 0.02) of the
first 6,000 training images; FC-A and CNN-A as the set's recipe trains them, classically, with seed 0. The published
errors are those of CT in Table 1 of Marullo et al. (2022), for the SVM those of SVM-RBF in Table 1 of Larochelle et al.
(2007), who chose C and gamma by validation and trained on the validation part too: a lower bound for ours.

What is finished is kept in the output folder, so the same command goes on where it was killed. With KERAS_BACKEND=jax
the networks are trained with --vectorize, FC-A in a fraction of the time.
"""

import argparse
import json
from pathlib import Path

import keras

from bench.report import Table
from nft_keras import data
from nft_keras.cli import run
from nft_keras.cli.options import add_data_dir, positive
from nft_keras.data.sources import larochelle
from nft_keras.experiments.files import atomic_write, write_json
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.runs import finished

PUBLISHED = {
    "mnist-rot": {"svm": 11.11, "fc-a": 43.16, "cnn-a": 7.48},
    "mnist-back-image": {"svm": 22.61, "fc-a": 28.34, "cnn-a": 7.25},
    "mnist-rot-back-image": {"svm": 55.18, "fc-a": 64.06, "cnn-a": 29.05},
    "rectangles-image": {"svm": 24.04, "fc-a": 24.31, "cnn-a": 9.86},
    "convex": {"svm": 19.13, "fc-a": 33.91, "cnn-a": 8.24},
}
CLASSIFIERS = ("svm", "fc-a", "cnn-a")
TRAIN, TEST = 6000, 4000


def main(arguments=None):
    """Prints a row for each set and classifier, and writes the table as calibration.md.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code: that of `nft_keras.run` where it is not 0.
    """
    parser = argparse.ArgumentParser(prog="python -m bench calibrate", description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(PUBLISHED)}; default: all")
    parser.add_argument("--classifiers", nargs="+", choices=CLASSIFIERS, default=CLASSIFIERS)
    parser.add_argument("--epochs", type=positive, help="of the networks, instead of the recipe's; a first look")
    parser.add_argument("--show", action="store_true", help="the table of what is finished; nothing is trained")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"), help="output folder (%(default)s)")
    add_data_dir(parser)
    options = parser.parse_args(arguments)
    if unknown := set(options.sets) - set(PUBLISHED):
        parser.error(f"unknown set {sorted(unknown)[0]!r}; the sets are {', '.join(PUBLISHED)}")
    cells = [(name, classifier) for classifier in options.classifiers for name in options.sets or PUBLISHED]
    for name, classifier in cells if not options.show else ():
        code = _svm(name, options) if classifier == "svm" else _network(name, classifier, options)
        if code:
            return code
    text = table(cells, options).text()
    print(text)
    with atomic_write(options.out / "calibration.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def table(cells, options):
    """The table of the cells that are finished.

    Args:
        cells: list of (set, classifier).
        options: what `main` parsed.

    Returns:
        `bench.report.Table`.
    """
    note = "Test errors in percent. Difference: ours less the published one, divided by the published one."
    made = Table("Generated data sets", note, ["data", "classifier", "epochs", "ours", "published", "difference"])
    for name, classifier in sorted(cells, key=lambda cell: list(PUBLISHED).index(cell[0])):
        if (result := _finished(name, classifier, options)) is None:
            continue
        ours, published = result["test_error"], PUBLISHED[name][classifier]
        epochs = str(result["epochs"]) if "epochs" in result else "-"
        difference = f"{100 * (ours / published - 1):+.0f} %"
        made.rows.append([name, classifier, epochs, f"{ours:.2f}", f"{published:.2f}", difference])
    return made


def _finished(name, classifier, options):
    """The result of a cell, None where it is not finished."""
    if classifier == "svm":
        path = _svm_file(name, options)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    _, settings, out = _how(name, options)
    done = finished(load_recipe(name, settings, ["ct"], [classifier], [0]), out)
    return done[0] if done else None


def _svm(name, options):
    """Trains the SVM where that was not done before; returns an exit code."""
    from sklearn.svm import SVC

    if _finished(name, "svm", options):
        return 0
    dataset = data.load(name, options.data_dir, source="generated")
    parts = (dataset.train[:TRAIN], dataset.test[:TEST])
    (x, y), (x_test, y_test) = ((part.x.reshape(len(part), -1) / 255, part.y) for part in parts)
    machine = SVC(C=10, gamma=0.02, cache_size=1000).fit(x, y)
    error = 100 * float((machine.predict(x_test) != y_test).mean())
    write_json(_svm_file(name, options), {"test_error": error, "provenance": dataset.provenance})
    return 0


def _svm_file(name, options):
    return _folder(name, options) / "svm" / f"{name}.json"


def _folder(name, options):
    """Where a set's results are: what was measured on another version's images is no result on these."""
    return options.out / f"generator-{larochelle.generator_version(name)}"


def _network(name, classifier, options):
    """Trains a network by its recipe where that was not done before; returns the exit code of `nft_keras.run`."""
    recipe, settings, out = _how(name, options)
    arguments = [recipe, "--methods", "ct", "--classifiers", classifier, "--seeds", "0", "--out", str(out)]
    if keras.backend.backend() == "jax":
        arguments.append("--vectorize")  # compiles whole epochs: FC-A takes half a minute instead of minutes
    if options.data_dir:
        arguments += ["--data-dir", str(options.data_dir)]
    return run.main([*arguments, "--set", *settings])


def _how(name, options):
    """The recipe of a set, what is changed in it, and the folder of its runs."""
    settings, out = ["dataset.source=generated"], _folder(name, options)
    if options.epochs:
        return name, [*settings, f"training.epochs={options.epochs}"], out / f"{options.epochs}-epochs"
    return name, settings, out / "recipe"
