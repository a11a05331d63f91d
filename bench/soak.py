"""Whether one process stays as large as it was: python -m bench soak

So many trials of all methods, run one after the other in one process as `nft-keras run` runs them, and one trial of so
many epochs: the resident memory and the open file descriptors of the process after equal shares of each (Linux).
"""

import argparse
import gc
import os
import tempfile
from pathlib import Path

from bench import measure
from bench.report import Table
from nft_keras import data, experiments
from nft_keras.cli.options import positive
from nft_keras.experiments.files import atomic_write, write_json
from nft_keras.experiments.recipe.reading import load_recipe

ROWS = 10
RECIPE = """\
dataset: {name: two-moons, train_size: 64, valid_size: 32, test_size: 32}
classifiers: {fc-a: {units: 8}}
methods:
  ct:
  eef: {plan: {simplification_ratio: 0.5}}
  ft: {step: 0.1, plan: {max_steps: 5, simplification_ratio: 0.5}}
  nft: {plan: {eta_max: 10, simplification_ratio: 0.5}, auxiliary: {name: mlp, hidden: 8}}
training: {epochs: 4, learning_rate: 0.01}
seeds: [0]
"""
METHODS = 4


def main(arguments=None):
    """Prints both tables, and writes soak.md and soak.json.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=positive, default=200, help="in one process, of all methods (%(default)s)")
    parser.add_argument("--epochs", type=positive, default=1000, help="of one trial of NFT (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/soak"), help="folder of the tables (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "soak.yaml")
        recipe.write_text(RECIPE, encoding="utf-8")
        tables = []
        for measured, number in ((trials, options.trials), (epochs, options.epochs)):
            tables.append(measured(recipe, number, Path(folder)))
            print(tables[-1].text(), flush=True)
    text = "\n".join(table.text() for table in tables)
    write_json(options.out / "soak.json", {"machine": measure.machine(), **{t.title: t.values for t in tables}})
    with atomic_write(options.out / "soak.md") as temporary:
        temporary.write_text(f"# python -m bench soak\n\n{measure.machine()}\n\n{text}", encoding="utf-8")
    return 0


def trials(recipe, number, out):
    """The table of trials: each row is some seeds of the recipe, run and reported on."""
    table = _table("Trials in one process", "trials")
    seeds = max(1, number // METHODS)
    steps = [seeds * row // ROWS for row in range(ROWS + 1)]
    for begin, end in zip(steps, steps[1:], strict=False):
        if end > begin:
            experiments.run(recipe, seeds=range(begin, end), out=out / "trials")
            _add(table, end * METHODS)
    return table


def epochs(recipe, number, out):
    """The table of the epochs of one trial of NFT, half of them simplified."""
    from nft_keras.experiments.train.trial import run_trial

    table, every = _table("Epochs of one trial", "epochs"), max(1, number // ROWS)
    (trial,) = load_recipe(recipe, [f"training.epochs={number}"], methods=["nft"])

    def progress(logs):
        if logs["epoch"] % every == 0:
            _add(table, logs["epoch"])

    run_trial(trial, data.load(**trial.dataset), out / "epochs", progress)
    return table


def _table(title, what):
    note = "After so many; resident memory in MiB, after a garbage collection."
    return Table(title, note, [what, "memory (MiB)", "descriptors"])


def _add(table, done):
    gc.collect()
    memory, descriptors = _memory(), len(os.listdir("/proc/self/fd"))
    table.rows.append([f"{done:,}", f"{memory / 2**20:,.0f}", str(descriptors)])
    table.values[done] = {"memory": memory, "descriptors": descriptors}


def _memory():
    """The resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
