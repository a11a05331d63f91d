"""What attacks on trials' classifiers gave: tables, a figure, files."""

import statistics
from pathlib import Path

from nft_keras._text import in_markdown
from nft_keras.experiments.attack.norms import NORMS
from nft_keras.experiments.attack.robustness import ATTACKS, CHECKS, warnings
from nft_keras.experiments.files import atomic_write, write_csv, write_figure, write_json
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.reports.drawing import error_bars, grid, styles
from nft_keras.experiments.reports.pairs import baseline
from nft_keras.experiments.reports.tables import markdown, mean_std

_WARNING = "⚠"


def write(trials, settings, out):
    """Writes robustness.json, .csv, .md, .png and .pdf.

    Args:
        trials: list of what `nft_keras.experiments.attack.robustness.attack_trial` returns.
        settings: `nft_keras.experiments.attack.robustness.Settings` as a dict, how the trials were attacked.
        out: `pathlib.Path` of a folder.

    Returns:
        The content of robustness.md.
    """
    checks = {name: {"meaning": c.meaning, "least": c.least, "most": c.most} for name, c in CHECKS.items()}
    write_json(out / "robustness.json", {"settings": settings, "checks": checks, "trials": trials})
    write_csv(out / "robustness.csv", list(_rows(trials)))
    text = tables(trials, settings)
    with atomic_write(out / "robustness.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    write_figure(figure(trials), *(out / f"robustness.{suffix}" for suffix in ("png", "pdf")))
    return text


def tables(trials, settings):
    """Markdown: for each classifier and norm the errors by method and the differences to CT, then the checks.

    Args:
        trials, settings: as for `write`.

    Returns:
        str. A row with a trial that fails a check is marked.
    """
    parts = [
        "# Robustness",
        "Error in percent on the same examples of the test part, by radius: mean ± standard deviation over seeds. "
        f"{_WARNING}: a check below fails for one of the seeds, the error may be too low. "
        f"PGD: {settings['steps']} steps, restarts: {settings['restarts']}; seed {settings['seed']}.",
    ]
    for (*names, _), of_group in _groups(trials).items():
        parts.append(f"## {', '.join(filter(None, names))}")
        parts.append(f"{of_group[0]['examples']} test examples; {in_markdown(of_group[0]['provenance'])}.")
        for norm in of_group[0]["norms"]:
            head = [NORMS[norm], "attack", "seeds", "0", *map(_number, of_group[0]["norms"][norm]["radii"])]
            parts.append(markdown(head, [*_error_rows(of_group, norm), *_difference_rows(of_group, norm)]))
    parts += ["## Checks", "Percent. What each is, and what passes:"]
    parts.append("\n".join(f"- {name}: {check.meaning} ({_allowed(check)})" for name, check in CHECKS.items()))
    parts.append(markdown(["recipe", "classifier", "method", "seed", "norm", *CHECKS], list(_check_rows(trials))))
    return "\n\n".join(parts)


def figure(trials):
    """Error against radius, a panel per classifier and norm, a line per method; spread over seeds as bars.

    Args:
        trials: as for `write`.

    Returns:
        A matplotlib Figure.
    """
    places = [(key, of_group, norm) for key, of_group in _groups(trials).items() for norm in of_group[0]["norms"]]
    drawn, axes = grid(len(places), "", "error (%)")
    looks = styles(trial["method"] for trial in trials)
    for axis, ((*names, _), of_group, norm) in zip(axes, places, strict=True):
        radii = [0.0, *of_group[0]["norms"][norm]["radii"]]
        for method, of_method in _by_method(of_group).items():
            fgsm, pgd = (list(zip(*(_curve(t, norm, a) for t in of_method), strict=True)) for a in ("fgsm", "pgd"))
            error_bars(axis, method, radii, pgd, looks[method])
            small = {"markerfacecolor": "white", "linewidth": 0.7, "markersize": 3.5, "zorder": 3}
            axis.plot(radii, [statistics.mean(e) for e in fgsm], **looks[method] | small)
        axis.set_xscale("symlog", linthresh=radii[1], linscale=0.5)
        axis.set_xticks(radii, map(_number, radii))
        axis.minorticks_off()
        axis.set(xlabel=f"radius in {NORMS[norm]}", ylim=(0, 102))
        axis.set_title(", ".join(filter(None, names)), fontsize=9)
        axis.legend(title="full: PGD, hollow: FGSM", fontsize=8, title_fontsize=8)
    return drawn


def _groups(trials):
    """{(recipe, varied setting, classifier, input folder): trials that differ in method and seed alone}."""
    groups = {}
    for trial in trials:
        folder = str(Path(trial["folder"]).resolve().parents[1])
        key = (trial["recipe"], trial.get("varied", ""), trial["classifier"], folder)
        groups.setdefault(key, []).append(trial)
    return groups


def _by_method(trials):
    methods = METHODS.ordered(trial["method"] for trial in trials)
    return {m: [trial for trial in trials if trial["method"] == m] for m in methods}


def _curve(trial, norm, attack, errors="errors"):
    """Errors at radius 0 and at the norm's radii."""
    return [trial["clean"], *trial["norms"][norm][errors][attack]]


def _error_rows(trials, norm):
    for method, of_method in _by_method(trials).items():
        mark = f" {_WARNING}" if any(warnings(trial, norm) for trial in of_method) else ""
        for attack in ATTACKS:
            curves = zip(*(_curve(trial, norm, attack) for trial in of_method), strict=True)
            yield [method_title(method) + mark, _name(attack), str(len(of_method)), *map(mean_std, curves)]


def _difference_rows(trials, norm):
    """Paired differences to CT: of the trials that have one of CT with the same seed."""
    by_seed = {m: {trial["seed"]: trial for trial in of} for m, of in _by_method(trials).items()}
    ct = baseline(trials)
    classic = by_seed.pop(ct, {})
    for method, of_method in by_seed.items():
        seeds = sorted(set(of_method) & set(classic))
        for attack in ("fgsm", "pgd") if seeds else ():
            pairs = [(_curve(of_method[s], norm, attack), _curve(classic[s], norm, attack)) for s in seeds]
            differences = zip(*([a - b for a, b in zip(*pair, strict=True)] for pair in pairs), strict=True)
            difference = f"{method_title(method)} - {method_title(ct)}"
            yield [difference, _name(attack), str(len(seeds)), *(mean_std(d, "+") for d in differences)]


def _check_rows(trials):
    for trial in trials:
        for norm in trial["norms"]:
            checks = {c["check"]: c for c in trial["checks"] if c["norm"] in (None, norm)}
            values = [_number(checks[name]["value"]) for name in CHECKS]
            marked = [
                v if checks[name]["passed"] else f"{v} {_WARNING}" for name, v in zip(CHECKS, values, strict=True)
            ]
            names = [", ".join(filter(None, [trial["recipe"], trial.get("varied")])), trial["classifier"]]
            yield [*names, method_title(trial["method"]), str(trial["seed"]), NORMS[norm], *marked]


def _rows(trials):
    """The rows of the CSV file: a trial, a norm, an attack and a radius each."""
    names = ("recipe", "varied", "dataset", "classifier", "method", "seed", "examples")
    for trial in trials:
        for norm, of_norm in trial["norms"].items():
            for attack in ATTACKS:
                curves = (_curve(trial, norm, attack), _curve(trial, norm, attack, "raw"))
                for radius, error, raw in zip([0.0, *of_norm["radii"]], *curves, strict=True):
                    row = {name: trial.get(name, "") for name in names}
                    failed = "; ".join(warnings(trial, norm))
                    yield row | {
                        "norm": norm, "attack": attack, "radius": radius, "error": error, "raw_error": raw,
                        "warnings": failed,
                    }  # fmt: skip


def _name(attack):
    return attack if attack == "noise" else attack.upper()


def _number(value):
    return f"{value:.4g}"


def _allowed(check):
    return f"at least {_number(check.least)}" if check.least else f"at most {_number(check.most)}"
