"""The command line: python -m nft_keras report RUNS... sets our figures beside the published ones."""

import argparse

from nft_keras.cli.options import Parser, path_in, path_out, run_command
from nft_keras.experiments.files import writing_to
from nft_keras.experiments.recipe.schema import RecipeError


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras report", description="Our figures beside the published ones.")
    p.add_argument("folders", type=path_in, nargs="+", metavar="RUNS", help="output folders, or results/")
    p.add_argument("--out", type=path_out, help="where paper.md and the CSV files go (default: the first folder)")
    p.add_argument(
        "--keep",
        type=path_out,
        metavar="FOLDER",
        help="instead: write report, results, recipe and all histories of one recipe's run, OUT/RECIPE, to FOLDER; "
        "where it was run in several places, such as some seeds on another machine, of their folders together",
    )
    p.add_argument("--html", action="store_true", help="instead: one page of each recipe's run, OUT/RECIPE/report.html")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Prints Tables 1 and 2 and Figure 3 of the paper with our figures, and writes them as Markdown and CSV.

    With --keep it writes what is to be kept of one recipe's run instead, with --html pages to look at.
    """
    options = parser().parse_args(arguments)
    if options.html:
        return run_command(RecipeError, _html, options)
    if options.keep is not None:
        return run_command(RecipeError, _keep, options)
    return run_command(RecipeError, _report, options.folders, options.out or options.folders[0])


def _html(options):
    from nft_keras.experiments.files import atomic_write
    from nft_keras.experiments.reports.page import NAME, page

    if options.keep or options.out:
        raise RecipeError("--html goes with folders alone, OUT/RECIPE")
    for folder in options.folders:
        text = page(folder)
        with writing_to(folder, "RUNS"), atomic_write(folder / NAME) as path:
            path.write_text(text, encoding="utf-8")
        print(f"written to {folder / NAME}")


def _keep(options):
    from nft_keras.experiments import keep

    if options.out:
        raise RecipeError("--keep takes the folders of one recipe's run, OUT/RECIPE, and no --out")
    files = keep.kept(options.folders)
    with writing_to(options.keep, "--keep"):
        keep.write(files, options.keep)
    print(f"{', '.join(files)} written to {options.keep}")


def _report(folders, out):
    from nft_keras.experiments import runs
    from nft_keras.experiments.files import atomic_write, write_csv
    from nft_keras.experiments.reports import published, tables

    paper, others = published.cells(runs.find(folders))
    parts = [
        "Test error in percent, mean ± standard deviation (runs); bold: a lower mean than CT's of the same seeds; †: "
        "generated data; -: not run, or not published. The paper's Figure 3, read off its bars: ± 0.2."
    ]
    rows_of, own = {}, []
    for name, cells in paper.items():
        variants = dict.fromkeys(m for cell in cells for m, of in cell.runs.items() if of and m not in cell.methods)
        rows_of[name] = rows = [cell.row(variants) for cell in cells]
        parts += [f"## {name}", tables.markdown(list(rows[0]), [list(row.values()) for row in rows]), *_missing(cells)]
    if others:
        results = [[run.result for run in experiment] for experiment in others]
        recipes = [experiment[0].config["name"] for experiment in others]
        own = ["## Other runs", "Settings other than the published ones.", tables.table_of_groups(results, recipes)]
    with writing_to(out):
        for name, rows in rows_of.items():
            plain = [{column: cell.replace("*", "") for column, cell in row.items()} for row in rows]
            write_csv(out / f"{name.lower().replace(' ', '-')}.csv", plain)
        with atomic_write(out / "paper.md") as path:
            path.write_text("\n\n".join(parts + own) + "\n", encoding="utf-8")
    if not any(_begun(cells) for cells in paper.values()):
        parts = [f"None of these runs has the settings of a cell of the paper, whose tables are in {out / 'paper.md'}."]
    print("\n\n".join(parts + own))


def _begun(cells):
    return [cell for cell in cells if any(cell.runs.values())]


def _missing(cells):
    """Paragraphs that say what the rows of a table lack, with the commands that fill them."""
    from nft_keras.experiments.reports.published import what_is_missing

    begun = _begun(cells)
    if missing := what_is_missing(begun):
        yield "Missing in the rows that were begun:"
        yield "\n".join(["```", *missing, "```"])
    if len(begun) < len(cells):
        command = next(cell.command for cell in cells if cell not in begun)
        yield f"{len(cells) - len(begun)} of {len(cells)} rows were not begun; the first takes `{command}`."
