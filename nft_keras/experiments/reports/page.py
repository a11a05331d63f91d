"""A recipe's results as one HTML file, with its pictures inside: tables, curves, altered data, mistakes, settings."""

import base64
import html
import io
import json
import re
import statistics
from pathlib import Path

import matplotlib
import numpy as np

from nft_keras import _manifest
from nft_keras.experiments.keep import without_home
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports.difference_figure import difference_figure
from nft_keras.experiments.reports.drawing import grid, styles
from nft_keras.experiments.reports.pairs import paired, taken_over
from nft_keras.experiments.reports.tables import markdown
from nft_keras.experiments.runs import find

NAME = "report.html"
# What of a trial's folder is shown, the first that is there of each: altered data, and where the classifier is wrong.
PICTURES = (
    ("simplification.png", "figure-1.png"),
    ("test/confusion.png", "test/labels.png", "test/predicted.png"),
)
_PARTS = {"training": "error", "validation": "valid_error", "test": "test_error"}
_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#ddd, #444); --soft: light-dark(#f6f6f4, #242424); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; margin: 2rem 0 .6rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: bottom; }
td { white-space: nowrap; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; max-width: 44rem; background: #fff; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; white-space: pre-wrap; }
"""


def page(folder):
    """A recipe's results as one HTML file.

    Args:
        folder: the recipe's folder, OUT/RECIPE.

    Returns:
        str.

    Raises:
        RecipeError: if the folder has no report, or a trial is damaged.
    """
    folder = Path(folder)
    try:
        report, recipe, results = (
            (folder / name).read_text(encoding="utf-8") for name in ("report.md", "recipe.yaml", "results.json")
        )
        results = json.loads(results)
    except OSError as error:
        what = f"{Path(error.filename).name} is not there" if isinstance(error, FileNotFoundError) else error.strerror
        raise RecipeError(f"{folder}: {what}: --html takes what a run left of one recipe, OUT/RECIPE") from None
    except ValueError as error:
        what = f"{type(error).__name__}: the same run writes its report again"
        raise RecipeError(f"{folder}: report.md, recipe.yaml or results.json is damaged, {what}") from None
    runs = [run for run in find([folder]) if run.result in results]
    tables, *rest = re.split(r"(?m)^(?=## |Data: )", report, maxsplit=1)
    body = [_tables(tables), *_differences(runs), *map(_tables, rest)]
    runs = [run for run in runs if (run.folder / "history.csv").exists()]
    if runs:
        drawn = [_figure(_as_svg(figure), title) for title, figure in curves(runs).items()]
        about = "Mean of the seeds, and from the lowest to the highest. Dotted: until there the data are altered."
        body += ["<h2>Epoch by epoch</h2>", f"<p>{about}</p>", _beside(drawn)]
        body += ["<h2>What an epoch takes</h2>", _tables(costs(runs)), *_pictures(runs)]
    body += ["<h2>Recipe</h2>", f"<pre>{html.escape(without_home(recipe.encode()).decode())}</pre>"]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(folder.name)}'
    text = f'<!doctype html>\n<html lang="en"><head>{head}</title><style>{_STYLE}</style></head><body>\n'
    return text + "\n".join(body) + "\n</body></html>\n"


def _differences(runs):
    """The figure of the differences to CT, where there are several seeds."""
    if all(len(pairs) < 2 for pairs in paired([run.result for run in runs]).values()):
        return []
    about = "Means of the differences, with the interval of that comparison alone: of many a few miss zero by chance."
    if taken_over([run.result for run in runs]) != "seeds":
        about = "Means of the differences over folds, which share training data, so that they have no intervals."
    return [f"<p>{about}</p>", _figure(_as_svg(difference_figure(runs)), "test error beside classic training's")]


def curves(runs):
    """Training, validation and test error of all methods epoch by epoch, a figure each for every classifier.

    Args:
        runs: list of `nft_keras.experiments.runs.Run` with histories.

    Returns:
        {title: Matplotlib Figure}; parts that no history has are left out.
    """
    groups, histories = {}, {run.folder: run.rows() for run in runs}
    for run in runs:
        varied = run.result.get("varied", "")
        groups.setdefault((varied, run.result["classifier"]), {}).setdefault(run.result["method"], []).append(run)
    looks, figures = styles(run.result["method"] for run in runs), {}
    for group, by_method in groups.items():
        for part, column in _PARTS.items():
            rows = {method: [histories[run.folder] for run in of] for method, of in by_method.items()}
            if any(row.get(column) for of in rows.values() for history in of for row in history):
                title = f"{' '.join(filter(None, group))}, {part}"
                figures[title], (axis,) = grid(1, r"epoch $\gamma$", f"{part} error (%)")
                for method in METHODS.ordered(by_method):
                    _curve(axis, method, rows[method], column, looks[method])
                axis.set_ylim(bottom=0)
                axis.legend()
    return figures


def _curve(axis, method, histories, column, look):
    """Draws the mean of an error over seeds, its range, and a line where the data are real again."""
    by_epoch = {}
    for row in (row for rows in histories for row in rows if row.get(column)):
        by_epoch.setdefault(int(row["epoch"]), []).append(float(row[column]))
    epochs = sorted(by_epoch)
    if epochs:
        line = look | {"markersize": 4, "markevery": 1 + len(epochs) // 12}
        axis.plot(epochs, [statistics.mean(by_epoch[e]) for e in epochs], label=method_title(method), **line)
        low, high = ([of(by_epoch[e]) for e in epochs] for of in (min, max))
        axis.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0)
    for last in {max((int(r["epoch"]) for r in rows if r["phase"] == "simplified"), default=0) for rows in histories}:
        if last:
            axis.axvline(last, color=look["color"], linestyle=":", linewidth=1.2)


def costs(runs):
    """A Markdown table: the median of the seconds of an epoch on altered and on real data, and those of a trial."""
    groups = {}
    for run in runs:
        key = run.result.get("varied", ""), run.result["classifier"], run.result["method"]
        groups.setdefault(key, []).append(run)
    with_variation, rows = any(varied for varied, *_ in groups), []
    for (varied, classifier, method), of in groups.items():
        row = [*[varied] * with_variation, classifier, method_title(method)]
        for phase in ("simplified", "classic"):
            seconds = [float(row["seconds"]) for run in of for row in run.rows() if row["phase"] == phase]
            row.append(f"{np.median(seconds):.3g}" if seconds else "-")
        rows.append([*row, f"{statistics.mean(run.result['seconds'] for run in of):.0f}"])
    head = [*["varied"] * with_variation, "classifier", "method", "altered data (s)", "real data (s)", "a trial (s)"]
    return markdown(head, rows)


def _tables(text):
    """Markdown as HTML, without markup of HTML's own, its tables as wide as they are."""
    from markdown import Markdown

    made = Markdown(extensions=["tables"])
    made.preprocessors.deregister("html_block")
    made.inlinePatterns.deregister("html")
    text = made.convert(text)
    return text.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")


def _pictures(runs):
    """The pictures of the first seed of each method, those of a kind beside each other."""
    first = {}
    for run in sorted(runs, key=lambda run: run.result["seed"]):
        of = " ".join(filter(None, (run.result.get("varied"), run.result["classifier"])))
        first.setdefault((of, run.result["method"]), run)
    found = {names: [] for names in PICTURES}
    for (of, method), run in first.items():
        for names, figures in found.items():
            if path := next(filter(Path.is_file, (run.folder / name for name in names)), None):
                _check(run.folder, path)
                content = base64.b64encode(path.read_bytes()).decode()
                caption = f"{of} {method_title(method)}, seed {run.result['seed']}: {path.name}"
                figures.append(_figure(f"data:image/png;base64,{content}", caption))
    found = [_beside(figures) for figures in found.values() if figures]
    return ["<h2>Pictures</h2>", *found] if found else []


def _check(folder, path):
    """Refuses a picture that is not the one which the trial wrote."""
    try:
        _manifest.check_listed(folder, path.relative_to(folder).as_posix())
        if path.is_symlink():
            raise _manifest.DamagedError(f"{path} is a link, and no picture of the trial; {_manifest.AGAIN}")
    except (_manifest.DamagedError, OSError) as error:
        raise RecipeError(str(error)) from error


def _beside(figures):
    return f'<div class="beside">{"".join(figures)}</div>'


def _figure(source, caption):
    caption = html.escape(caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _as_svg(figure):
    """A Matplotlib Figure as the address of an SVG, the same for the same figure."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "nft_keras"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
