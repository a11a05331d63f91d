"""Tables of what trials gave: mean and standard deviation of the test error over seeds."""

import statistics
from pathlib import Path

from nft_keras.experiments.files import whole, write_json


def write_report(name, results, out):
    """Writes results.json and report.md of a recipe.

    Args:
        name: the recipe's name.
        results: list of result.json contents.
        out: the output folder.

    Returns:
        The table, Markdown.
    """
    folder = Path(out, name)
    write_json(folder / "results.json", results)
    text = table(results)
    provenance = "".join(f"\nData: {line}.\n" for line in sorted({r["provenance"] for r in results}))
    with whole(folder / "report.md") as temporary:
        temporary.write_text(f"# {name}\n\n{text}\n{provenance}", encoding="utf-8")
    return text


def table(results, with_data=False):
    """A Markdown table: test error in percent, mean +- standard deviation over seeds, per classifier and method.

    Args:
        results: list of result.json contents.
        with_data: bool, whether the data set and the number of epochs tell rows apart too.

    Returns:
        str; where a recipe varies a setting, there is a column for it.
    """
    with_variation = any("varied" in result for result in results)
    head = [
        "classifier",
        "method",
        "test error (%)",
        "validation error (%)",
        "seeds",
        "epochs",
        "best epoch",
        "s per run",
    ]
    cells = {}
    for result in results:
        key = (result["dataset"], result["epochs"]) if with_data else ()
        cells.setdefault((*key, result.get("varied", ""), result["classifier"], result["method"]), []).append(result)
    rows = []
    for (*_, varied, classifier, method), runs in cells.items():
        row = [runs[0]["dataset"]] * with_data + [varied] * with_variation + [classifier, method.upper()]
        row += [mean_std([run[error] for run in runs]) for error in ("test_error", "valid_error")]
        row += [str(len(runs)), ", ".join(sorted({str(run["epochs"]) for run in runs}))]
        row += [", ".join(str(run["best_epoch"]) for run in runs)]
        row += [f"{statistics.mean(run['seconds'] for run in runs):.0f}"]
        rows.append(row)
    return markdown(["data"] * with_data + ["varied"] * with_variation + head, rows)


def markdown(head, rows):
    """A Markdown table, its columns aligned.

    Args:
        head: list of str.
        rows: list of lists of str.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def mean_std(values):
    """'mean +- standard deviation' (of the sample; none for a single value), two decimals."""
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean
