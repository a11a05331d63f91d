"""Precision, recall and F1 of each class or label, and the table of them."""

from nft_keras._text import in_markdown
from nft_keras.experiments.evaluation import percent

_MEASURES = ("precision", "recall", "f1")


def by_output(what, names, y, predicted):
    """A dict for each class or label: its name, precision, recall and f1 in percent, examples, the number of its own.

    One that was never predicted has a precision of 0, one without examples a recall of 0.

    Args:
        what: "class" or "label", the key of the name.
        names: tuple of str.
        y, predicted: int arrays, (n,) of classes or (n, labels) of 0 and 1.
    """
    from sklearn.metrics import precision_recall_fscore_support

    # A single label's column is to scikit-learn one of two classes, of which the second is to have it.
    outputs = [1] if y.shape[1:] == (1,) else range(len(names))
    measured = precision_recall_fscore_support(y, predicted, labels=outputs, average=None, zero_division=0)
    return [
        {what: name, **{key: percent(of[i]) for key, of in zip(_MEASURES, measured, strict=False)}, "examples": n}
        for i, (name, n) in enumerate(zip(names, measured[3].astype(int).tolist(), strict=True))
    ]


def as_table(what, outputs):
    """A Markdown table of what `by_output` gave."""
    from nft_keras.experiments.reports.tables import markdown

    rows = [[in_markdown(of[what]), *(f"{of[key]:.2f}" for key in _MEASURES), str(of["examples"])] for of in outputs]
    return markdown([what, "precision (%)", "recall (%)", "F1 (%)", "examples"], rows)
