"""What a trial does by what is learnt (`nft_keras.data.targets.Target`): a record for each task."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """A task. Functions and classes are "module:name", imported when a trial needs them.

    Attributes:
        loss: function of (label_smoothing, mixed), the loss that classifiers are trained with.
        error: function of (y, y_pred), the error of each example in percent, a float tensor (batch,).
        evaluation: class of `nft_keras.experiments.evaluation.Evaluation`.
        reference: function of a data set, the linear model beside the results.
        kept: {key of its summary: title in tables}, what results and reports have beside the error.
        title: of that table.
        meaning: what stands below it.
    """

    loss: str
    error: str
    evaluation: str
    reference: str
    kept: dict[str, str]
    title: str
    meaning: str


_LOSSES, _EVALUATION = "nft_keras.experiments.train.losses", "nft_keras.experiments.evaluation"
_REFERENCE = "nft_keras.experiments.reports.reference"
_CALIBRATION = "calibration error (points)"
TASKS = {
    "classification": TaskRecord(
        loss=f"{_LOSSES}:crossentropy",
        error=f"{_LOSSES}:error",
        evaluation=f"{_EVALUATION}.classes:ClassEvaluation",
        reference=f"{_REFERENCE}:logistic_regression",
        kept={"balanced_accuracy": "balanced accuracy (%)", "calibration_error": _CALIBRATION},
        title="Class by class",
        meaning="Balanced accuracy: the mean over the classes of the share of right ones in each. Calibration error: "
        "how far apart the probability of the predicted class and the share of right ones are. Class by class, with "
        "the confusion matrix and the worst examples: `test/` in a trial's folder.",
    ),
    "multi-label": TaskRecord(
        loss=f"{_LOSSES}:binary_crossentropy",
        error=f"{_LOSSES}:label_error",
        evaluation=f"{_EVALUATION}.labels:LabelEvaluation",
        reference=f"{_REFERENCE}:logistic_regressions",
        kept={"exact_match": "exact match (%)", "mean_f1": "mean F1 (%)", "calibration_error": _CALIBRATION},
        title="Label by label",
        meaning="Error: the share of wrong labels, each of an example counted by itself. Exact match: the share of "
        "examples whose labels are all right. Mean F1: over the labels. Calibration error: how far apart the "
        "probability of a label and the share of examples that have it are. Label by label, with the worst examples: "
        "`test/` in a trial's folder.",
    ),
    "regression": TaskRecord(
        loss=f"{_LOSSES}:squared_error",
        error=f"{_LOSSES}:unexplained",
        evaluation=f"{_EVALUATION}.quantity:QuantityEvaluation",
        reference=f"{_REFERENCE}:ridge_regression",
        kept={"rmse": "RMSE", "mae": "MAE", "r2": "R²"},
        title="In the quantity's unit",
        meaning="Error: the mean squared error in percent of the variance of the training part; always to say its mean "
        "is an error of about 100. RMSE, MAE: the root of the mean squared and the mean absolute error, in the unit of "
        "the data. R²: 1 - the squared error over that of the mean of the test part. The worst examples: `test/` in a "
        "trial's folder.",
    ),
}
