"""What a recipe may not say where its data set's labels are no classes, see `nft_keras.data.targets.Target`."""

from nft_keras.experiments.methods import METHODS


def check_task(document, task, ancestry, settings, training, metric, key):
    """Refuses settings of a cell that are about one class of each example.

    Args:
        document: the recipe's `nft_keras.experiments.recipe.schema.Document`.
        task: of the data set.
        ancestry: names of the method, the one in `METHODS` first and that in the recipe last.
        settings, training: of the cell.
        metric: the recipe's `selection_metric`.
        key: of the cell, a tuple.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError: naming the setting.
    """
    if task == "classification":
        return
    record = METHODS[ancestry[0]]
    if not record.takes_any_task:
        able = ", ".join(method for method, of in METHODS.items() if of.takes_any_task)
        what = f"needs one class for each example, and dataset.task is {task}, which is for {able}"
        raise document.error(("methods", ancestry[-1]), f"{ancestry[-1]} {what}")
    auxiliary = getattr(settings, "auxiliary", None)
    of_classes = {
        ("selection_metric",): metric if metric == "balanced_error" else None,
        (*key, "training", "class_weight"): training.class_weight,
        (*key, "training", "augment"): training.mixing[0] if training.mixing else None,
        (*key, "training", "label_smoothing"): training.label_smoothing if task == "regression" else None,
        (*key, "auxiliary", "label_conditioned"): getattr(auxiliary, "label_conditioned", False),
    }
    for where, value in of_classes.items():
        if value:
            raise document.error(where, f"is about the classes of examples, and dataset.task is {task}; got {value!r}")
