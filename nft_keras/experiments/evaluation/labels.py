"""How good a classifier is label by label, where an example may have several."""

import functools
from typing import Any

import numpy as np

from nft_keras._text import visible, without_formulas
from nft_keras.data.targets import separator_of
from nft_keras.experiments.evaluation import Evaluation, calibration_error, percent
from nft_keras.experiments.evaluation.outputs import as_table, by_output
from nft_keras.experiments.files import write_csv

_MOST_NAMED = 60  # labels of a picture


class LabelEvaluation(Evaluation):
    """An `Evaluation` of examples that have any number of labels each; one is predicted from a probability of 0.5 on.

    `write` makes labels.csv and labels.png beside summary.json and worst.csv.
    """

    picture_name = "labels.png"
    worst_columns = ("input", "wrong", "labels", "predicted")

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """bool array (n, labels)."""
        return self.said >= 0.5

    @functools.cached_property
    def right(self) -> np.ndarray:
        """bool array (n, labels), whether each is as predicted; none is where predictions are no finite numbers."""
        return (self.predicted == (self.y > 0.5)) & self.finite[:, None]

    @functools.cached_property
    def labels(self) -> list[dict[str, Any]]:
        """A dict for each label, see `nft_keras.experiments.evaluation.outputs.by_output`."""
        return by_output("label", self.class_names, self.y.astype(int), self.predicted.astype(int))

    @functools.cached_property
    def summary(self) -> dict[str, float]:
        """Numbers of all examples together.

        examples, their number; error, the share of wrong labels, exact_match, that of examples whose labels are all
        right, and mean_f1, over the labels that have examples, in percent; calibration_error, see there, of the labels'
        probabilities.
        """
        right = self.right
        f1 = [of["f1"] for of in self.labels if of["examples"]]
        return {
            "examples": len(self.y),
            "error": percent(np.mean(~right)),
            "exact_match": percent(np.mean(right.all(1))),
            "mean_f1": round(float(np.mean(f1)), 4) if f1 else 0.0,
            "calibration_error": calibration_error(self.said.ravel(), self.y.ravel() > 0.5),
            **self.not_finite(),
        }

    @functools.cached_property
    def worst(self) -> list[dict[str, Any]]:
        """Those with wrong labels, most of them first, of equal ones those whose labels' cross-entropy is highest.

        A dict for each: input, its name; wrong, the number of wrong labels; labels and predicted, texts that name them.
        """
        wrong = (~self.right).sum(1)
        sure = np.where(self.y > 0.5, self.said, 1 - self.said)
        surprise = -np.log(np.maximum(sure, np.finfo("float64").tiny)).sum(1)
        order = np.lexsort((-surprise, -wrong))
        rows = order[wrong[order] > 0]
        return [
            {
                "input": self.names[i],
                "wrong": int(wrong[i]),
                "labels": self._named(self.y[i] > 0.5),
                "predicted": self._named(self.predicted[i]),
            }
            for i in rows.tolist()
        ]

    def _named(self, chosen):
        there = (name for name, has in zip(self.class_names, chosen, strict=True) if has)
        return separator_of(self.class_names).join(there)

    def write_tables(self, folder):
        """Writes labels.csv."""
        write_csv(folder / "labels.csv", without_formulas(self.labels))

    def picture(self) -> Any:
        """Precision and recall of each label as a Matplotlib Figure, the most frequent labels on top."""
        from matplotlib.figure import Figure

        shown = sorted(self.labels, key=lambda of: -of["examples"])[:_MOST_NAMED]
        figure = Figure(figsize=(7, 1.6 + 0.28 * len(shown)), layout="constrained")
        axes, places = figure.subplots(), np.arange(len(shown))
        for key, marker, colour in (("precision", "o", "#1d3557"), ("recall", "D", "#e07a5f")):
            axes.plot([of[key] for of in shown], places, marker, color=colour, label=key, clip_on=False)
        names = [visible(of["label"]) for of in shown]
        names = [name if len(name) <= 30 else f"{name[:29]}…" for name in names]
        counted = [f"{name} ({of['examples']:,})" for name, of in zip(names, shown, strict=True)]
        axes.set_yticks(places, counted, parse_math=False)
        axes.set(xlim=(0, 100), xlabel="%", ylim=(len(shown) - 0.5, -0.5))
        axes.grid(axis="y", color="0.9")
        figure.legend(loc="outside upper right", ncols=2, frameon=False)
        return figure

    def __str__(self) -> str:
        said = "{examples:,} examples: {error:.2f} % of their labels wrong, all right of {exact_match:.2f} %, mean F1"
        said += " {mean_f1:.2f} %, calibration error {calibration_error:.2f} points"
        return f"{said.format(**self.summary)}{self.told()}\n\n{as_table('label', self.labels)}"
