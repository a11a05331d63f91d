"""How good a classifier is class by class: precision, recall, confusion matrix."""

import csv
import functools
import io
from typing import Any

import numpy as np

from nft_keras._text import visible, without_formula, without_formulas
from nft_keras.experiments.evaluation import Evaluation, calibration_error, percent
from nft_keras.experiments.evaluation.outputs import as_table, by_output
from nft_keras.experiments.files import write_csv, write_text

_MOST_NAMED, _MOST_COUNTED = 40, 20  # classes of a picture that has their names, and of one that has numbers


class ClassEvaluation(Evaluation):
    """An `Evaluation` of examples that are of one class each.

    `write` makes classes.csv, confusion.csv and confusion.png beside summary.json and worst.csv.
    """

    picture_name = "confusion.png"
    worst_columns = ("input", "label", "predicted", "probability", "of_predicted")

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """int array (n,), the most probable classes; -1 where there is none."""
        return np.where(self.finite, self.said.argmax(1), -1)

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """int array (classes, classes): how many examples of a row's class were taken for a column's."""
        from sklearn.metrics import confusion_matrix

        return confusion_matrix(self.y, self.predicted, labels=range(len(self.class_names)))

    @functools.cached_property
    def classes(self) -> list[dict[str, Any]]:
        """A dict for each class, see `nft_keras.experiments.evaluation.outputs.by_output`."""
        return by_output("class", self.class_names, self.y, self.predicted)

    @functools.cached_property
    def summary(self) -> dict[str, float]:
        """Numbers of all examples together.

        examples, their number; error and balanced_accuracy (the mean recall of the classes that have examples) in
        percent; calibration_error, the expected calibration error in points: how far apart the probability of the
        predicted class and the share of right ones are, in the mean over 15 bins of that probability, by their sizes.
        """
        right, sure = self.predicted == self.y, self.said.max(1)
        recalls = [of["recall"] for of in self.classes if of["examples"]]
        return {
            "examples": len(self.y),
            "error": percent(np.mean(~right)),
            "balanced_accuracy": round(float(np.mean(recalls)), 4),
            "calibration_error": calibration_error(sure, right),
            **self.not_finite(),
        }

    @functools.cached_property
    def worst(self) -> list[dict[str, Any]]:
        """The wrong ones, those whose label has the lowest probability first.

        A dict for each: input, its name; label; predicted; probability, that of the label; of_predicted, that of what
        was predicted.
        """
        of_label = self.said[np.arange(len(self.y)), self.y]
        wrong = np.flatnonzero(self.predicted != self.y)
        rows = wrong[np.argsort(of_label[wrong], kind="stable")]
        return [
            {
                "input": self.names[i],
                "label": self.class_names[self.y[i]],
                "predicted": self.class_names[self.predicted[i]] if self.finite[i] else "",
                "probability": float(f"{of_label[i]:.4g}"),
                "of_predicted": float(f"{self.said[i].max():.4g}"),
            }
            for i in rows.tolist()
        ]

    def write_tables(self, folder):
        """Writes classes.csv, and confusion.csv as the picture shows it."""
        names = list(map(without_formula, self.class_names))
        counts = zip(names, self.confusion.tolist(), strict=True)
        write_csv(folder / "classes.csv", without_formulas(self.classes))
        file = io.StringIO()
        csv.writer(file).writerows([["class", *names], *([name, *row] for name, row in counts)])
        write_text(folder / "confusion.csv", file.getvalue())

    def picture(self) -> Any:
        """The confusion matrix as a Matplotlib Figure: a row is shaded by the shares of its class."""
        from matplotlib.figure import Figure

        n = len(self.class_names)
        side = min(2.5 + 0.45 * n, 14)
        figure = Figure(figsize=(side + 0.8, side), layout="constrained")
        axes = figure.subplots()
        shares = self.confusion / np.maximum(self.confusion.sum(1, keepdims=True), 1)
        figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), label="share of the class")
        axes.set(xlabel="predicted", ylabel="label")
        if n <= _MOST_NAMED:
            names = [name if len(name) <= 20 else f"{name[:19]}…" for name in map(visible, self.class_names)]
            axes.set_xticks(range(n), names, rotation=90 if max(map(len, names)) > 3 else 0, parse_math=False)
            axes.set_yticks(range(n), names, parse_math=False)
        for (i, j), count in np.ndenumerate(self.confusion) if n <= _MOST_COUNTED else ():
            axes.text(j, i, count, ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
        return figure

    def __str__(self) -> str:
        said = "{examples:,} examples: error {error:.2f} %, balanced accuracy {balanced_accuracy:.2f} %, calibration"
        said += " error {calibration_error:.2f} points"
        return f"{said.format(**self.summary)}{self.told()}\n\n{as_table('class', self.classes)}"
