"""What trains a classifier by each method of a recipe: a model around it, and the plan that the model follows.

The first function of a method takes its settings (a dataclass of `nft_keras.experiments.recipe.settings`), the
classifier and the `nft_keras.data.Dataset`; it returns a `SimplifyingModel`, not yet compiled, and a mapping of what
`compile` takes beside the optimizer, loss and metrics, which are the same for all methods. The second takes settings,
data set, simplification_epochs and law, and returns the plan, a `keras.callbacks.Callback`.
"""

import keras

from nft_keras import auxiliaries, optimizers
from nft_keras.data.batches import batches
from nft_keras.eef import EasyExamplesFirst, EasyExamplesPlan
from nft_keras.ft import FriendlyTraining, PerturbationPlan
from nft_keras.nft import DevelopmentalPlan, FriendlyModel


def ct(settings, classifier, dataset):
    """Classic training: nothing is ever altered."""
    return FriendlyModel(classifier, None), {}


def ct_plan(settings, dataset, **plan):
    """A plan that is over from the start."""
    return DevelopmentalPlan(0.0, **plan)


def eef(settings, classifier, dataset):
    """Easy Examples First."""
    return EasyExamplesFirst(classifier), {}


def eef_plan(settings, dataset, **plan):
    """Which examples are the easy ones."""
    examples = batches(dataset.train, 250).unbatch()
    return EasyExamplesPlan(examples, len(dataset.train), settings.plan.first_fraction, **plan)


def ft(settings, classifier, dataset):
    """Friendly Training."""
    return FriendlyTraining(classifier, settings.step, settings.confidence), {}


def ft_plan(settings, dataset, **plan):
    """How many steps a perturbation has."""
    return PerturbationPlan(settings.plan.max_steps, **plan)


def nft(settings, classifier, dataset):
    """Neural Friendly Training."""
    auxiliary = build_auxiliary(settings.auxiliary, dataset)
    model = FriendlyModel(classifier, auxiliary, settings.penalty, settings.phases, settings.classifier_mode)
    return model, {"auxiliary_optimizer": build_optimizer(settings.auxiliary_optimizer)}


def nft_plan(settings, dataset, **plan):
    """How eta rises, and when the auxiliary network is dropped."""
    first = settings.plan.first_simplified_epoch
    return DevelopmentalPlan(settings.plan.eta_max, first_simplified_epoch=first, **plan)


def build_auxiliary(settings, dataset):
    """The auxiliary network that a recipe's `auxiliary` names."""
    arguments = dict(vars(settings))
    name = arguments.pop("name")
    arguments["num_classes"] = dataset.num_classes if arguments.pop("label_conditioned") else None
    shape = dataset.input_shape
    return getattr(auxiliaries, name)(shape[0] if name == "mlp" else shape, **arguments)


def build_optimizer(settings):
    """The Keras optimizer of a recipe's `Optimizer`."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return optimizers.SGD(rate, momentum=settings.momentum, l2=decay)
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay)
    return optimizers.Adam(rate, l2=decay)
