"""What a user looks at after training: how good a classifier is on labelled examples, and where it is not."""

import abc
import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nft_keras._registry import imported
from nft_keras._text import without_formulas
from nft_keras.experiments.files import write_csv, write_figure, write_json
from nft_keras.experiments.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np

    from nft_keras.data.targets import Target

BINS = 15  # of the calibration error


@dataclasses.dataclass(frozen=True)
class Evaluation(abc.ABC):
    """What a classifier predicts of labelled examples, and what that says of it; there is a class of it for each task.

    Attributes:
        target: `nft_keras.data.targets.Target`.
        y: the labels, as there.
        predictions: float array (n, outputs), what its `predictions` gives: probabilities, or a quantity in its unit.
            Where one is not finite no class and no label is right, and of a quantity the example is left out.
        names: what the examples are called, n lines, files or numbers.
    """

    target: "Target"
    y: "np.ndarray"
    predictions: "np.ndarray"
    names: Sequence[Any]

    picture_name: ClassVar[str]
    worst_columns: ClassVar[tuple[str, ...]]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, of the labels, or of the quantity."""
        return self.target.names

    @functools.cached_property
    def finite(self) -> "np.ndarray":
        """bool array (n,), whether what is predicted of an example is finite numbers."""
        import numpy as np

        return np.isfinite(self.predictions).all(axis=1)

    @functools.cached_property
    def said(self) -> "np.ndarray":
        """`predictions`; probabilities of 0, or the mean of a quantity, where they are not finite."""
        import numpy as np

        return np.where(self.finite[:, None], self.predictions, self.target.mean)

    @property
    @abc.abstractmethod
    def summary(self) -> dict[str, float]:
        """Numbers of all examples together; examples, their number, and error, as in the tables of results.

        not_finite, how many predictions are not finite, if any are.
        """

    def not_finite(self) -> dict[str, int]:
        """{"not_finite": number} for the summary, {} where all are."""
        lost = int((~self.finite).sum())
        return {"not_finite": lost} if lost else {}

    def told(self) -> str:
        """What is said of them below the summary, "" where all are finite."""
        lost = self.not_finite().get("not_finite")
        return f"; {lost:,} predictions are no finite numbers, and count as wrong" if lost else ""

    @property
    @abc.abstractmethod
    def worst(self) -> list[dict[str, Any]]:
        """The examples that it is wrong about, the worst first: a dict for each, input is its name."""

    @abc.abstractmethod
    def write_tables(self, folder: Path) -> None:
        """Writes what is said output by output."""

    @abc.abstractmethod
    def picture(self) -> Any:
        """A Matplotlib Figure of predictions against labels."""

    def write(self, folder: str | os.PathLike) -> None:
        """Writes summary.json, worst.csv, and what is said output by output, as tables and a picture.

        Args:
            folder: made if it is not there.
        """
        folder = Path(folder)
        write_json(folder / "summary.json", self.summary)
        self.write_tables(folder)
        write_csv(folder / "worst.csv", without_formulas(self.worst), self.worst_columns)
        write_figure(self.picture(), folder / self.picture_name)


def evaluation_of(target: "Target", y: "np.ndarray", predictions: "np.ndarray", names: Sequence[Any]) -> Evaluation:
    """The `Evaluation` of a task.

    Args:
        target, y, predictions, names: see `Evaluation`.
    """
    return imported(TASKS[target.task].evaluation)(target, y, predictions, names)


def percent(fraction: float) -> float:
    """A fraction in percent, to four decimals."""
    return round(100 * float(fraction), 4)


def calibration_error(sure: "np.ndarray", right: "np.ndarray") -> float:
    """The expected calibration error in points.

    Args:
        sure: float array (n,), probabilities.
        right: bool array (n,), whether what has that probability is so.

    Returns:
        How far apart the probability and the share of right ones are, in the mean over 15 bins of the probability, by
        their sizes.
    """
    import numpy as np

    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return percent(np.abs(np.bincount(bins, right - sure)).sum() / len(sure))
