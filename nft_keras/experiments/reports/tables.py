"""Tables of what trials gave: the test error over seeds, and its difference to classic training seed by seed."""

import itertools
import math
import shlex
import statistics
from pathlib import Path

from nft_keras import data
from nft_keras._registry import RegistrationError
from nft_keras._text import in_markdown, visible
from nft_keras.experiments.files import write_json, write_text
from nft_keras.experiments.methods import method_title
from nft_keras.experiments.reports import conclusion, reference
from nft_keras.experiments.reports.pairs import (
    FOLD,
    baseline,
    controls,
    differences,
    differences_to_classic,
    differences_to_controls,
    errors_of,
    paired,
    paired_with_control,
    taken_over,
    variation,
)
from nft_keras.experiments.runs import CHANGED
from nft_keras.experiments.tasks import TASKS
from nft_keras.verdict import MOST_LEFT, came_back, mostly_harder


def write_report(name, results, out, references=()):
    """Writes results.json and report.md of a recipe.

    Args:
        name: the recipe's name.
        results: list of result.json contents.
        out: the output folder.
        references: what `nft_keras.experiments.reports.reference.References.entries` has of the recipe's data sets.

    Returns:
        The tables, below them what they show and the references, Markdown.
    """
    folder = Path(out, name)
    write_json(folder / "results.json", results)
    said = conclusion.sentences(differences_to_classic(results), differences_to_controls(results))
    said = [" ".join(said), *_references(references)]
    tables = [table(results), against_classic(results), against_controls(results)]
    tables = "\n\n".join(filter(None, [*tables, *said]))
    provenances = [f"Data: {in_markdown(line)}." for line in sorted({result["provenance"] for result in results})]
    sections = [*_own_data(of_own_data(results), results), *_sections(drop_table(results))]
    text = "\n\n".join([f"# {name}", tables, *sections, *provenances, *_circumstances(results)])
    write_text(folder / "report.md", text + "\n")
    return tables


def _references(entries):
    """A line for each reference; those of folds are taken together, as trials are."""
    folds = [entry for entry in entries if entry["varied"].startswith(FOLD) and "skipped" not in entry]
    lines = [reference.line(entry) for entry in entries if entry not in folds]
    if folds:
        errors = (mean_std([entry[error] for entry in folds]) for error in ("test_error", "valid_error"))
        of = "test error {} %, validation error {} %".format(*errors)
        model = folds[0].get("model", "logistic regression")
        lines.append(f"Reference, over folds: {model} (scikit-learn) on the same features: {of}.")
    return lines


def write_recipe(text, overrides, out, name):
    """Writes recipe.yaml beside a report: the recipe as it was run, below the changes that the command line made to it.

    Args:
        text: str, the recipe's file.
        overrides: iterable of "key.key=value".
        out: the output folder.
        name: the recipe's name.
    """
    changed = f"{CHANGED}{shlex.join(overrides)}\n" if overrides else ""
    write_text(Path(out, name, "recipe.yaml"), changed + text)


def table(results):
    """A Markdown table: test error in percent, mean +- standard deviation over seeds, per classifier and method.

    Args:
        results: list of result.json contents.

    Returns:
        str; where a recipe varies a setting, there is a column for it; folds are taken together as seeds are. That of
        the last epoch is left out where no trial has it, as earlier versions' have not.
    """
    groups = {}
    for result in results:
        groups.setdefault((variation(result), result["classifier"], result["method"]), []).append(result)
    return table_of_groups(groups.values())


def table_of_groups(groups, recipes=()):
    """A Markdown table as `table`, with a row for each group.

    Args:
        groups: iterable of lists of result.json contents, each list of one experiment.
        recipes: their recipes' names, to tell rows apart, with the data sets, which come from several.
    """
    head = ["classifier", "method", "test error (%)", "validation error (%)"]
    groups = list(groups)
    over = taken_over([run for runs in groups for run in runs])
    with_last = any("last_test_error" in run for runs in groups for run in runs)
    head += [over, "epochs", "best epoch", *["last epoch: test error (%)"] * with_last, "s per run"]
    variations = [
        varied.pop() if len(varied := {run.get("varied", "") for run in runs}) == 1 else "" for runs in groups
    ]
    with_variation = any(variations)
    rows = []
    for runs, varied, recipe in itertools.zip_longest(groups, variations, recipes):
        first = runs[0]
        row = [in_markdown(recipe), in_markdown(first["dataset"])] if recipes else []
        row += [varied] * with_variation + [first["classifier"], method_title(first["method"])]
        row += [mean_std([run[error] for run in runs]) for error in ("test_error", "valid_error")]
        row += [str(len(runs)), ", ".join(sorted({str(run["epochs"]) for run in runs}))]
        row += [epochs([run["best_epoch"] for run in runs])]
        lasts = [run["last_test_error"] for run in runs if "last_test_error" in run]
        row += [mean_std(lasts) if len(lasts) == len(runs) else "-"] * with_last
        row += [f"{statistics.mean(run['seconds'] for run in runs):.0f}"]
        rows.append(row)
    return markdown(["recipe", "data"] * bool(recipes) + ["varied"] * with_variation + head, rows)


def against_classic(results):
    """A Markdown table: the test error's difference to CT in the same classifier, seed by seed.

    CT is the method of that name, or the first one that is CT under another. A seed's two trials start from the same
    initial weights and see the same data in the same order.

    Args:
        results: list of result.json contents.

    Returns:
        str: mean +- standard deviation of the differences, in how many seeds the method was better, and the two-sided p
        of the paired t-test (none for a single seed, nor over folds); "" where no method has a seed in common with CT.
        A trial with a varied setting is compared with the CT that has it, else with the CT of the recipe itself. Of the
        last epoch's classifiers there are difference and p too.
    """
    name, pairs = baseline(results), paired(results)
    with_variation = any(varied for varied, *_ in pairs)
    with_last = any(_have_last(of) for of in pairs.values())
    over, rows = taken_over(results), []
    for (varied, classifier, method), of in pairs.items():
        errors = errors_of(of, "test_error")
        compared = differences(errors)
        better = f"{sum(d < 0 for d in compared)} of {len(compared)}"
        p = (lambda _: "-") if over != "seeds" else p_value  # folds share training data: the test would find too much
        row = [classifier, method_title(method), mean_std(compared, "+"), better, p(errors)]
        last = errors_of(of, "last_test_error") if _have_last(of) else ()
        row += [mean_std(differences(last), "+") if last else "-", p(last)] * with_last
        rows.append([varied] * with_variation + row)
    difference = f"test error - {method_title(name or 'ct')} (points)"
    head = ["varied"] * with_variation + ["classifier", "method", difference, f"{over} better", "p"]
    head += [f"last epoch: - {method_title(name or 'ct')} (points)", "last epoch: p"] * with_last
    return markdown(head, rows) if rows else ""


def against_controls(results):
    """A Markdown table: the differences to the controls, which are CT with another training, as `against_classic` has
    those to CT.

    Args:
        results: list of result.json contents.

    Returns:
        str, with a row for each method that is not CT; "" where there is none, or no control.
    """
    names, rows = controls(results), {}
    for i, name in enumerate(names):
        for key, of in paired_with_control(results, name).items():
            errors = errors_of(of, "test_error")
            row = rows.setdefault(key, ["-", "-"] * len(names))
            row[2 * i : 2 * i + 2] = [mean_std(differences(errors), "+"), p_value(errors)]
    with_variation = any(varied for varied, *_ in rows)
    head = ["varied"] * with_variation + ["classifier", "method"]
    for name in names:
        head += [f"- {method_title(name)} (points)", "p"]
    body = [
        [varied] * with_variation + [classifier, method_title(method), *row]
        for (varied, classifier, method), row in rows.items()
    ]
    return markdown(head, body) if body and taken_over(results) == "seeds" else ""


def of_own_data(results):
    """A Markdown table of the user's own data: what their task has beside the error on the test part, beside CT's.

    Args:
        results: list of result.json contents.

    Returns:
        str; "" for other data, and for trials of versions that did not keep these numbers.
    """
    kept = _of_own(results)
    ct, pairs, groups = method_title(baseline(kept) or "ct"), paired(kept), {}
    for result in kept:
        groups.setdefault((variation(result), result["classifier"], result["method"]), []).append(result)
    with_variation, columns = any(varied for varied, *_ in groups), _record(kept).kept if kept else {}
    rows = []
    for (varied, classifier, method), of in groups.items():
        rows.append([varied] * with_variation + [classifier, method_title(method)])
        beside = pairs.get((varied, classifier, method), [])
        for name, title in columns.items():
            how = ".2f" if "(" in title else ".4g"  # one without a unit has that of the data
            rows[-1].append(_mean_of([result[f"test_{name}"] for result in of], "", how))
            there = [pair for pair in errors_of(beside, f"test_{name}") if None not in pair]
            compared = [*differences(there, how), *[None] * (len(beside) - len(there))]
            rows[-1].append(_mean_of(compared, "+", how) if beside else "-")
    head = ["varied"] * with_variation + ["classifier", "method"]
    for title in columns.values():
        head += [title, f"- {ct} (points)" if "(" in title else f"- {ct}"]
    return markdown(head, rows) if rows else ""


def _of_own(results):
    """Those of own data that have what their task has beside the error."""
    own = [r for r in results if _is_own(r["dataset"])]
    return [r for r in own if all(f"test_{name}" in r for name in _record([r]).kept)]


def _mean_of(values, sign, how):
    """As `mean_std`, of those that there are, and how many these are where some are None."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    some = "" if len(there) == len(values) else f" ({len(there)} of {len(values)})"
    return f"{mean_std(there, sign, how)}{some}"


def _record(results):
    """The record of the task of results, which is the same of a recipe."""
    return TASKS[results[0].get("task", "classification")]


def _is_own(dataset):
    """Whether a data set is of files of the user's."""
    try:
        spec = data.find(dataset)
    except RegistrationError:
        return False
    return bool(spec and spec.files)


def _own_data(table, results):
    """The lines of a report about the test part of data of the user's own."""
    if not table:
        return []
    record = _record(_of_own(results))
    return [f"## {record.title}", table, f"Of the best epoch's classifier on the test part. {record.meaning}"]


def drop_table(results):
    """A Markdown table: what the data were like until the auxiliary network was dropped.

    Args:
        results: list of result.json contents.

    Returns:
        str; "" where no trial has altered its data by an auxiliary network.
    """
    groups = {}
    for result in (r for r in results if "drop" in r):
        groups.setdefault((variation(result), result["classifier"], result["method"]), []).append(result["drop"])
    with_variation = any(varied for varied, *_ in groups)
    rows = []
    for (varied, classifier, method), drops in groups.items():
        left = [drop["relative_perturbation"] for drop in drops]
        harder, of = (sum(drop.get(key, 0) for drop in drops) for key in ("harder_epochs", "simplified_epochs"))
        away = sum(not came_back(each) for each in left)
        some = f"{away} of {len(left)} " if 0 < away < len(left) else ""
        verdict = f"{some}did not come back" if away else "came back"
        verdict += ", were not easier but strange" if mostly_harder(harder, of) else ", were easier" if of else ""
        seen = mean_std([100 * each for each in left]), f"{harder} of {of}" if of else "-", verdict
        rows.append([varied] * with_variation + [classifier, method_title(method), *seen])
    head = ["varied"] * with_variation + ["classifier", "method", "perturbation left (% of the variance)"]
    return markdown([*head, "epochs harder than real data", "the altered data"], rows) if rows else ""


def _sections(drop):
    """The lines of a report about the drop."""
    if not drop:
        return []
    meaning = (
        "Perturbation left: the mean squared change in the last simplified epoch, divided by the variance of the data; "
        f"with more than {MOST_LEFT:.0%} the classifier meets other data after the drop. Harder: the classifier's loss "
        "on some training examples was higher in their altered form."
    )
    return ["## At the drop", drop, meaning]


def markdown(head, rows):
    """A Markdown table, its columns aligned.

    Args:
        head: list of str.
        rows: list of lists of str.
    """
    # tabulate, and pandas by it, pad each head by two and would be one more package that everybody installs.
    head, *rows = aligned([head, *rows])
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["-" * len(text) for text in head], *rows))


def aligned(rows):
    """The cells of a table as they are shown, each as wide as the widest in its column.

    Args:
        rows: list of lists of str.
    """
    rows = [list(map(visible, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]


def mean_std(values, sign="", how=".2f"):
    """'mean +- standard deviation' (of the sample; none for a single value), two decimals; with sign "+" always one.

    Of values of which one is infinite or nan there is neither.
    """
    if not all(map(math.isfinite, values)):
        return "not finite"
    mean = f"{statistics.mean(values):{sign}z{how}}"  # z: no minus before zero
    return f"{mean} ± {statistics.stdev(values):{how}}" if len(values) > 1 else mean


def epochs(numbers):
    """Up to five epochs one by one, more of them as 'median (least to greatest)'."""
    if len(numbers) <= 5:
        return ", ".join(map(str, numbers))
    return f"{statistics.median(numbers):.0f} ({min(numbers)} to {max(numbers)})"


def p_value(pairs):
    """The p of a paired t-test as a text; "-" with nothing to test: one pair, differences all equal or not finite."""
    compared = differences(pairs)
    tested = len(set(compared)) > 1 and all(map(math.isfinite, compared))
    return conclusion.as_text(conclusion.paired_p(compared)) if tested else "-"


def _have_last(pairs):
    """Whether the trials of all pairs kept the last epoch's test error; those of earlier versions did not."""
    return all("last_test_error" in result for pair in pairs for result in pair)


def _circumstances(results):
    """Lines that say when, where and with what the trials were run; nothing of trials that did not keep it."""
    environments = [result["environment"] for result in results if "environment" in result]
    lines = []
    for name, title in (("date", "Run"), ("machine", "Machine"), ("nft_keras", "Version")):
        values = sorted({environment[name] for environment in environments})
        if name == "date" and len(values) > 1:
            values = [f"{values[0]} to {values[-1]}"]
        elif name == "nft_keras":
            keys = ("nft_keras", "keras", "backend", "python")
            values = sorted({", ".join(f"{k} {e[k]}" if k != "backend" else e[k] for k in keys) for e in environments})
        lines += [f"{title}: {in_markdown('; '.join(values))}."] if values else []
    seconds = sum(result["seconds"] for result in results)
    spent = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    return [*lines, f"Trials: {len(results)}, {spent} in all."]
