"""How far a network's predictions of a quantity are from it."""

import functools
from typing import Any

import numpy as np

from nft_keras._text import visible
from nft_keras.experiments.evaluation import Evaluation, percent


class QuantityEvaluation(Evaluation):
    """An `Evaluation` of examples that have a number each.

    `write` makes predicted.png beside summary.json and worst.csv.
    """

    picture_name = "predicted.png"
    worst_columns = ("input", "value", "predicted", "difference")

    @functools.cached_property
    def values(self) -> np.ndarray:
        """float array (n,), the quantity in its unit."""
        return self.target.in_its_unit(self.y.astype("float64"))[:, 0]

    @functools.cached_property
    def differences(self) -> np.ndarray:
        """float array (n,), predictions less values; NaN where a prediction is no finite number."""
        return np.where(self.finite, self.said[:, 0] - self.values, np.nan)

    def told(self):
        """As `Evaluation.told`."""
        lost = self.not_finite().get("not_finite")
        return f"; {lost:,} predictions are no finite numbers, and left out" if lost else ""

    @functools.cached_property
    def summary(self) -> dict[str, float]:
        """Numbers of all examples together.

        examples, their number; error, the mean squared error in percent of the variance of the training part; rmse and
        mae, the root of the mean squared and the mean absolute error in the quantity's unit; r2, the coefficient of
        determination, None where all values are the same. Predictions that are no finite numbers are left out; where
        all are, these are None.
        """
        differences, values = self.differences[self.finite], self.values[self.finite]
        if not len(values):
            return {"examples": len(self.y), **dict.fromkeys(("error", "rmse", "mae", "r2")), **self.not_finite()}
        squared = float(np.mean(differences**2))
        variance = float(np.var(values)) if np.ptp(values) else 0.0
        return {
            "examples": len(self.y),
            "error": percent(squared / self.target.scale**2),
            "rmse": float(f"{squared**0.5:.6g}"),
            "mae": float(f"{np.mean(np.abs(differences)):.6g}"),
            "r2": round(1 - squared / variance, 6) if variance else None,
            **self.not_finite(),
        }

    @functools.cached_property
    def worst(self) -> list[dict[str, Any]]:
        """All of which something is predicted, those whose predictions are farthest away first.

        A dict for each: input, its name; value; predicted; difference, predicted less value.
        """
        rows = np.argsort(-np.abs(self.differences), kind="stable")[: self.finite.sum()]
        return [
            {
                "input": self.names[i],
                "value": self.target.rounded(self.values[i]),
                "predicted": self.target.rounded(self.said[i, 0]),
                "difference": self.target.rounded(self.differences[i]),
            }
            for i in rows.tolist()
        ]

    def write_tables(self, folder):
        """There is one output, of which the summary says all."""

    def picture(self) -> Any:
        """Predictions over values as a Matplotlib Figure, with the line on which they are right."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.5, 5.5), layout="constrained")
        axes = figure.subplots()
        values, predicted = self.values[self.finite], self.said[self.finite, 0]
        if len(values):
            ends = min(values.min(), predicted.min()), max(values.max(), predicted.max())
            axes.plot(ends, ends, color="0.6", linewidth=1, zorder=1)
        axes.scatter(values, predicted, s=10, alpha=0.5, color="#1d3557", linewidths=0)
        name = visible(self.class_names[0])
        axes.set_xlabel(name if len(name) <= 60 else f"{name[:59]}…", parse_math=False)
        axes.set_ylabel("predicted")
        axes.set_aspect("equal", adjustable="datalim")
        return figure

    def __str__(self) -> str:
        if self.summary["error"] is None:
            return f"{self.summary['examples']:,} examples{self.told()}"
        of_r2 = "" if self.summary["r2"] is None else f", R² {self.summary['r2']:.4f}"
        said = "{examples:,} examples: RMSE {rmse:.4g}, MAE {mae:.4g}".format(**self.summary)
        return f"{said}{of_r2}; error {self.summary['error']:.2f} % of the variance in training{self.told()}"
