"""What a trial consists of: the settings of networks, optimizers, plans and methods, as a recipe names them."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

from nft_keras._registry import Registry


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Attributes:
        optimizer: its name.
        learning_rate: its learning rate.
        weight_decay: L2 in the gradient of every weight for adam and sgd, decoupled for adamw.
        momentum: of sgd.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, "> 0"] = 1e-4
    weight_decay: Annotated[float, ">= 0"] = 0.0
    momentum: Annotated[float, ">= 0 and < 1"] = 0.0


@dataclasses.dataclass(frozen=True)
class Training(Optimizer):
    """How the classifier is trained, with every method alike.

    Attributes:
        epochs: passes over the training data.
        batch_size: examples in a minibatch.
        schedule: cosine anneals the learning rate to 0 over all epochs; constant-then-cosine keeps it for the first
            ones and anneals a tenth of it to 0 over the rest (Section 3.3 of Marullo et al. 2022).
        constant_ratio: the fraction of the epochs that constant-then-cosine keeps it for; only with that schedule.
        label_smoothing: the share of each training label that all classes get in equal parts, in the loss of every
            method and in the history's losses.
        augment: crop-and-flip shifts and mirrors every training image at random.
        precision: Keras' dtype policy.
        jit_compile: XLA, as for `keras.Model.compile`; left out, Keras decides.
        steps_per_execution: as for `keras.Model.compile`.
    """

    epochs: Annotated[int, ">= 1"] = 200
    batch_size: Annotated[int, ">= 1"] = 32
    schedule: Literal["constant", "cosine", "constant-then-cosine"] = "constant"
    constant_ratio: Annotated[float | None, ">= 0 and <= 1"] = None
    label_smoothing: Annotated[float, ">= 0 and < 1"] = 0.0
    augment: Literal["none", "crop-and-flip"] = "none"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = None
    steps_per_execution: Annotated[int, ">= 1"] = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """A plan (`nft_keras.Plan`): its length as a number of epochs or as a fraction of the training's epochs.

    Attributes:
        simplification_epochs: gamma_max_simp, the epoch in which the plan comes to its end.
        simplification_ratio: gamma_max_simp as a fraction of the training's epochs, instead.
        law: quadratic (Eq. 5 of Marullo et al. 2022), linear, cosine, or the dotted name of a function from progress in
            [0, 1] to a fraction in [0, 1].
    """

    simplification_epochs: Annotated[int | None, ">= 0"] = None
    simplification_ratio: Annotated[float | None, ">= 0 and <= 1"] = None
    law: str = "quadratic"

    def epochs(self, of):
        """gamma_max_simp of a training of so many epochs; a ratio below 1 leaves at least one epoch after the drop."""
        if self.simplification_epochs is not None:
            return self.simplification_epochs
        return ratio_of(self.simplification_ratio, of)


def ratio_of(ratio, epochs):
    """A fraction of a number of epochs, rounded; one below 1 leaves at least one epoch after it."""
    return min(math.floor(ratio * epochs + 0.5), epochs - 1) if ratio < 1 else epochs


@dataclasses.dataclass(frozen=True)
class DevelopmentalPlan(Plan):
    """`nft_keras.DevelopmentalPlan`."""

    eta_max: Annotated[float, ">= 0"] = 1000.0
    first_simplified_epoch: Annotated[int, ">= 1"] = 2


@dataclasses.dataclass(frozen=True)
class PerturbationPlan(Plan):
    """`nft_keras.PerturbationPlan`."""

    max_steps: Annotated[int, ">= 0"] = 120


@dataclasses.dataclass(frozen=True)
class EasyExamplesPlan(Plan):
    """`nft_keras.EasyExamplesPlan`."""

    first_fraction: Annotated[float, "> 0 and <= 1"] = 0.2


@dataclasses.dataclass(frozen=True)
class Unet:
    """`nft_keras.auxiliaries.unet`.

    Attributes:
        name: which network it is.
        label_conditioned: whether it sees the label beside x.
    """

    takes = "images"
    name: Literal["unet"] = "unet"
    filters: Annotated[int, ">= 1"] = 64
    depth: Annotated[int, ">= 1"] = 2
    label_conditioned: bool = False
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class Mlp:
    """`nft_keras.auxiliaries.mlp`.

    Attributes:
        name: which network it is.
        label_conditioned: whether it sees the label beside x.
    """

    takes = "vectors"
    name: Literal["mlp"] = "mlp"
    hidden: Annotated[int, ">= 1"] = 256
    label_conditioned: bool = False
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class FcA:
    """`nft_keras.classifiers.fc_a`."""

    units: Annotated[int, ">= 1"] = 10


@dataclasses.dataclass(frozen=True)
class FcB:
    """`nft_keras.classifiers.fc_b`."""

    units: Annotated[tuple[int, ...], ">= 1"] = (2500, 2000, 1500, 1000, 500)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A network without settings of its own."""


@dataclasses.dataclass(frozen=True)
class ClassicTraining:
    """CT: the classifier on the data as they are."""

    plan = Plan(simplification_epochs=0)


@dataclasses.dataclass(frozen=True)
class EasyExamplesFirst:
    """EEF: `nft_keras.EasyExamplesFirst` under a `nft_keras.EasyExamplesPlan`.

    Attributes:
        plan: how the number of examples rises.
    """

    plan: EasyExamplesPlan


@dataclasses.dataclass(frozen=True)
class FriendlyTraining:
    """FT: `nft_keras.FriendlyTraining` under a `nft_keras.PerturbationPlan`.

    Attributes:
        plan: how the number of steps falls.
    """

    plan: PerturbationPlan
    step: Annotated[float, "> 0"] = 0.1
    confidence: Annotated[float, ">= 0 and <= 1"] = 0.98


@dataclasses.dataclass(frozen=True)
class NeuralFriendlyTraining:
    """NFT: `nft_keras.FriendlyModel` under a `nft_keras.DevelopmentalPlan`.

    Attributes:
        plan: how eta rises, and when the auxiliary network is dropped.
        auxiliary: the network that alters the data, unet for images or mlp for vectors.
        auxiliary_optimizer: updates the auxiliary network.
    """

    plan: DevelopmentalPlan
    auxiliary: Unet | Mlp
    auxiliary_optimizer: Optimizer = Optimizer()
    penalty: Literal["sum", "mean"] = "sum"
    phases: Literal["epoch", "batch", "joint"] = "epoch"
    classifier_mode: Literal["inference", "training"] = "inference"


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A classifier that a recipe can name.

    Attributes:
        build: "module:function"; the function takes the shape of one example, the number of classes and the settings as
            keyword arguments, and returns a `keras.Model` with logits as output.
        settings: frozen dataclass of its settings: what a recipe may say, annotated as the settings here are.
        takes: "images" (height, width, channels), "vectors", or None for both.
    """

    build: str
    settings: type = Fixed
    takes: Literal["images", "vectors"] | None = None

    def __post_init__(self):
        if self.takes not in ("images", "vectors", None):
            raise ValueError(f"takes must be 'images', 'vectors' or None, got {self.takes!r}")
        if not dataclasses.is_dataclass(self.settings):
            raise TypeError(f"settings must be a dataclass, got {self.settings!r}")


@dataclasses.dataclass(frozen=True)
class Method:
    """A training method that a recipe can name.

    Attributes:
        settings: frozen dataclass of its settings with a `plan`, a `Plan`: when the data are altered.
        model: "module:function", what trains the classifier, see `nft_keras.experiments.methods`.
        plan: "module:function", the plan that it follows.
        vectorizes: whether `--vectorize` can train it.
        fills_replicas: whether each of several replicas needs an example of every minibatch.
    """

    settings: type
    model: str
    plan: str
    vectorizes: bool = False
    fills_replicas: bool = False

    def __post_init__(self):
        if not dataclasses.is_dataclass(self.settings) or not {"plan"} & {*dir(self.settings), *_fields(self.settings)}:
            raise TypeError(f"settings must be a dataclass with a plan, got {self.settings!r}")


def _fields(dataclass):
    return (field.name for field in dataclasses.fields(dataclass))


def _method(name, settings, **flags):
    functions = f"nft_keras.experiments.methods:{name}"
    return Method(settings, functions, f"{functions}_plan", **flags)


CLASSIFIERS = Registry(
    "nft_keras.classifiers",
    Classifier,
    {
        "fc-a": Classifier("nft_keras.classifiers:fc_a", FcA),
        "fc-b": Classifier("nft_keras.classifiers:fc_b", FcB),
        "cnn-a": Classifier("nft_keras.classifiers:cnn_a", takes="images"),
        "cnn-b": Classifier("nft_keras.classifiers:cnn_b", takes="images"),
        "resnet18": Classifier("nft_keras.classifiers:resnet18", takes="images"),
    },
)
METHODS = Registry(
    "nft_keras.methods",
    Method,
    {
        "ct": _method("ct", ClassicTraining, vectorizes=True),
        "eef": _method("eef", EasyExamplesFirst),
        "ft": _method("ft", FriendlyTraining, vectorizes=True, fills_replicas=True),
        "nft": _method("nft", NeuralFriendlyTraining, vectorizes=True),
    },
)


def ordered(names, registry):
    """The names in the order of a registry, those that are not in it (any more) last."""
    names = dict.fromkeys(names)
    return [*(name for name in registry if name in names), *(name for name in names if name not in registry)]


def is_a(method):
    """What a recipe and a result say of a method under another name, {"is": method}; {} for None."""
    return {"is": method} if method else {}


def method_title(method):
    """A method as tables and pictures show it: in capitals, one under a name of a recipe's own as it is written."""
    return method.upper() if method in METHODS else method


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run: one cell (classifier x method) of a recipe with one seed.

    Attributes:
        recipe: the recipe's name.
        dataset: arguments of `nft_keras.data.load`, with its name.
        classifier, classifier_settings: name and settings of the classifier.
        method, method_settings: name of the training method in the recipe, and its settings.
        training: `Training`.
        selection: "after-drop" or "all", the epochs among which the best one is chosen.
        test_every: int, epochs between two looks at the test error that the history shows; 0 for none.
        deterministic: bool, whether the back end takes only operations that give the same bits every time.
        seed: int, of initial weights and shuffling.
        distribute: "none", "mirrored" (over the GPUs of this machine) or "multi-worker" (over those of TF_CONFIG).
        varied: (key, value) if the recipe varies a setting and this is one of its variations, else None.
        variant_of: the method in `METHODS` that it is, where the recipe has it under another name, else None.
    """

    recipe: str
    dataset: dict
    classifier: str
    classifier_settings: object
    method: str
    method_settings: object
    training: Training
    selection: str
    test_every: int
    deterministic: bool
    seed: int
    distribute: str = "none"
    varied: tuple | None = None
    variant_of: str | None = None

    @property
    def kind(self):
        """The method's name in `METHODS`."""
        return self.variant_of or self.method

    @property
    def folder(self):
        """Where its files go, below the output folder."""
        variation = [self.variation] if self.varied else []
        return Path(self.recipe, *variation, self.classifier, self.method, f"seed-{self.seed}")

    @property
    def variation(self):
        """ "key=value" of what is varied, "" if nothing is."""
        return f"{self.varied[0]}={as_yaml(self.varied[1])}" if self.varied else ""

    @property
    def simplification_epochs(self):
        """gamma_max_simp: the last epoch with altered data; 0 or 1 if none is."""
        return self.method_settings.plan.epochs(self.training.epochs)

    @property
    def first_eligible(self):
        """The first epoch (from 1) that may be chosen as the best."""
        last = self.simplification_epochs
        return last + 1 if self.selection == "after-drop" and last > 1 else 1

    def config(self):
        """The trial as a recipe of its own, complete."""
        return {
            "name": self.recipe,
            "dataset": as_plain(self.dataset),
            "classifiers": {self.classifier: plain(self.classifier_settings)},
            "methods": {self.method: {**is_a(self.variant_of), **plain(self.method_settings)}},
            "training": plain(self.training),
            "seeds": [self.seed],
            "selection": self.selection,
            "test_every": self.test_every,
            "deterministic": self.deterministic,
            "distribute": self.distribute,
            **({"vary": {self.varied[0]: [self.varied[1]]}} if self.varied else {}),
        }


def as_yaml(value):
    """A number, word or truth value as a recipe writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain(settings):
    """A dataclass as a mapping of YAML's own types, unset alternatives left out."""
    return as_plain(dataclasses.asdict(settings))


def as_plain(value):
    """A value of YAML's own types: mappings without what is unset, lists for tuples."""
    if isinstance(value, dict):
        return {k: as_plain(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
