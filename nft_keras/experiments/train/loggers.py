"""Trials in MLflow and Weights & Biases, by the callbacks that these have for Keras.

Where a run goes each says itself, as ever: MLFLOW_TRACKING_URI, WANDB_MODE and the like.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import logging
import os
from collections.abc import Callable

from nft_keras._checks import suggest
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.runs import flatten

_TRIAL = "nft_keras.trial"


def check(names, together=False):
    """Refuses loggers whose packages are not there, or whose store does not answer.

    Args:
        names: keys of `LOGGERS`.
        together: bool, whether trials train in one program with others, where they cannot be logged.

    Raises:
        RecipeError: saying what to install or to set, or which option to leave out.
    """
    if names and together:
        raise RecipeError(f"--vectorize: --log {' '.join(names)} is not supported; leave it out")
    for name in names:
        if name not in LOGGERS:
            raise RecipeError(f"--log {name}: unknown; allowed: {', '.join(LOGGERS)}{suggest(name, LOGGERS)}")
        if importlib.util.find_spec(name) is None:
            raise RecipeError(f"--log {name} needs {name}: pip install {name}")
    for name in names:
        LOGGERS[name].reach()


def _reach_mlflow():
    import mlflow

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in ("mlflow", "alembic"):  # which tell of every table that they make
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        mlflow.MlflowClient().search_experiments(max_results=1)
    except mlflow.MlflowException as error:
        said = str(error).partition("\n")[0].rstrip(".")
        where = "MLFLOW_TRACKING_URI says where runs go, such as sqlite:///mlflow.db"
        raise RecipeError(f"--log mlflow: {said}; {where}") from None


@contextlib.contextmanager
def logged(names, trial, folder):
    """The callbacks that log a trial; in a `with` block its run is open, in each a run of its own that goes on.

    Args:
        names: keys of `LOGGERS`.
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        folder: `pathlib.Path`, where its files are: what goes on there goes on in the same run.

    Yields:
        list of `keras.callbacks.Callback`.
    """
    with contextlib.ExitStack() as runs:
        yield [runs.enter_context(LOGGERS[name].run(trial, _digest(trial, folder))) for name in names]


@contextlib.contextmanager
def _mlflow(trial, digest):
    import mlflow
    import mlflow.keras

    experiment = mlflow.set_experiment(trial.recipe).experiment_id
    begun = mlflow.MlflowClient().search_runs([experiment], f"tags.`{_TRIAL}` = '{digest}'")
    run_id = next((run.info.run_id for run in begun if run.info.status != "FINISHED"), None)
    name = {"run_id": run_id} if run_id else {"run_name": _title(trial), "tags": {_TRIAL: digest}}
    with mlflow.start_run(**name):
        mlflow.log_params({key: str(value) for key, value in flatten(trial.config())})
        yield mlflow.keras.MlflowCallback()
        mlflow.flush_async_logging()


@contextlib.contextmanager
def _wandb(trial, digest):
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    config = dict(flatten(trial.config()))
    with wandb.init(project=trial.recipe, name=_title(trial), id=digest, resume="allow", config=config):
        yield WandbMetricsLogger()


def _title(trial):
    return trial.folder.relative_to(trial.recipe).as_posix()


def _digest(trial, folder):
    """The same for a trial that goes on, another in another folder or for other settings."""
    return hashlib.sha256(f"{folder.resolve()}{trial.config()}".encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Logger:
    """Where trials are logged.

    Attributes:
        run: context manager of (trial, what tells its run from others), which gives the callback.
        reach: function without arguments; raises `RecipeError` where the store does not answer.
    """

    run: Callable
    reach: Callable = lambda: None


LOGGERS = {"mlflow": Logger(_mlflow, reach=_reach_mlflow), "wandb": Logger(_wandb)}
