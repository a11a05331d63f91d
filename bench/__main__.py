"""Measures nft_keras beside a plain PyTorch eager loop: python -m bench [SECTION ...] [--out DIR] [--quick]

Sections: steps (CT and NFT, the three phases, the floor), cheaper (NFT with fewer operations), ahead (the second
phase's data in larger batches), drop (after the drop against `keras.Model.fit`), others (FT and EEF), backends (CT
and NFT on each of Keras' back ends), kernels (what a step is made of), profile (where a step's time goes), memory
(and start-up), scaling (batch size, width, number of examples), short (small networks), pipeline. They need `pip
install -e '.[bench]'`.

Two measure errors and no cost, see their --help: python -m bench calibrate, how hard the generated data sets are, and
python -m bench own-data, NFT and CT beside scikit-learn on tables that packages carry. And python -m bench soak says
whether memory and descriptors of a process stay level over hundreds of trials and epochs.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SECTIONS = tuple("steps cheaper ahead drop others backends kernels profile memory scaling short pipeline".split())


def main(arguments=None):
    """Runs the sections, prints each table as soon as it is measured, and writes bench.md, bench.json and bench.png."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("results/bench"), help="folder of the results (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny networks, a round each: does it run? Never a time")
    parser.add_argument("--threads", type=int, help="of TensorFlow and of PyTorch each; default: one for each core")
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] in (["calibrate"], ["own-data"], ["soak"]):
        module = importlib.import_module(f"bench.{arguments[0].replace('-', '_')}")
        return module.main(arguments[1:])
    options = parser.parse_args(arguments)
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"unknown section {sorted(unknown)[0]!r}; the sections are {', '.join(SECTIONS)}")

    from bench import backends, costs, kernels, measure, operations, report, steps

    homes = {"steps": steps, "cheaper": steps, "ahead": steps, "drop": steps, "others": steps, "backends": backends}
    homes |= {"kernels": kernels, "profile": operations}
    functions = {name: getattr(homes.get(name, costs), name) for name in SECTIONS}
    measure.same_threads(options.threads)
    tables = []
    for name in options.sections or SECTIONS:
        for table in functions[name](options.quick):
            print(table.text(), flush=True)
            tables.append(table)
    command = ["python -m bench", *options.sections, *(["--quick"] if options.quick else [])]
    report.write(tables, options.out, " ".join(command))


if __name__ == "__main__":
    sys.exit(main())
