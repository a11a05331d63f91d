"""The command line: python -m nft_keras.report RUNS... sets our figures beside the published ones."""

import argparse
import csv
from pathlib import Path

from nft_keras._cli import answer, end
from nft_keras.experiments.schema import RecipeError


def main(arguments=None):
    """Prints Table 1 and Table 2 of the paper with our figures, and writes them as Markdown and CSV.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code: 0, or 2 for something wrong in what was typed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nft_keras.report", description="Our figures beside the published ones."
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUNS", help="output folders of nft_keras.run")
    parser.add_argument("--out", type=Path, help="where report.md and the CSV files go (default: the first folder)")
    options = parser.parse_args(arguments)
    return answer(RecipeError, _report, options.folders, options.out or options.folders[0])


def _report(folders, out):
    from nft_keras.experiments import report, runs, tables
    from nft_keras.experiments.files import whole

    paper, others = tables.cells(runs.find(folders))
    parts = ["Test error in percent, mean ± standard deviation (runs); bold: better than CT; †: generated data."]
    for name, rows in paper.items():
        begun = [cell for cell in rows if any(cell.runs.values())]
        table = [cell.row() for cell in rows]
        parts += [f"## {name}", report.markdown(list(table[0]), [list(row.values()) for row in table])]
        missing = tables.what_is_missing(begun)
        if missing:
            parts += ["Missing in the rows that were begun:", "\n".join(["```", *missing, "```"])]
        if len(begun) < len(rows):
            parts.append(f"{len(rows) - len(begun)} of {len(rows)} rows were not begun.")
        with whole(out / f"{name.lower().replace(' ', '-')}.csv") as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows({k: v.replace("*", "") for k, v in row.items()} for row in table)
    if others:
        parts += ["## Other runs", "Settings other than the published ones.", report.table(others, with_data=True)]
    text = "\n\n".join(parts)
    with whole(out / "report.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    end(main)
