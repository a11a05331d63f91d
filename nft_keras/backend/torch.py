"""The functions of a training step for PyTorch, which runs eagerly: those that take gradients alone record anything."""

import keras
import torch

from nft_keras.backend import keras_internals
from nft_keras.backend.one_program import *  # noqa: F403


def step(function):
    """`train_step` as it is, with nothing recorded outside `gradients`, `gradient_at` and `keras_step`."""
    return torch.no_grad()(function)


def keras_step(model, data):
    """`keras.Model`'s own training step: gradients in the parameters' `grad`, the classifier's optimizer."""
    with torch.enable_grad():
        return keras.Model.train_step(model, data)


def gradients(function, variables):
    """What a function returns beside its loss, and the loss's gradients with respect to variables."""
    parameters = [v.value for v in variables]
    with torch.enable_grad():
        loss, result = function()
    result = keras.tree.map_structure(_cut_off, result)
    if not parameters:
        return result, []
    return result, list(torch.autograd.grad(loss, parameters, allow_unused=True))


def _cut_off(x):
    """A tensor without its history, with its mask."""
    return keras_internals.with_mask(keras.ops.stop_gradient(x), keras_internals.mask_of(x))


def gradient_at(function, x):
    """What a function of a tensor returns beside its loss, and the loss's gradient with respect to the tensor."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        loss, result = function(x)
    (gradient,) = torch.autograd.grad(loss, x)
    return result, gradient


def apply(optimizer, gradients, variables):
    """Updates variables with their gradients."""
    with torch.no_grad():
        optimizer.apply(gradients, variables)


def inference():
    """A context in which nothing is recorded for gradients."""
    return torch.no_grad()


def compiled(model, function):
    """A function of arrays that reads the model's weights of the moment of its call; nothing is compiled."""

    @torch.no_grad()
    def on_tensors(*data):
        return function(*keras.tree.map_structure(keras.ops.convert_to_tensor, data))

    return on_tensors


def of_each(function, rows):
    """What a function of one row returns of every row of tensors, one by one where it asks what is in them."""
    try:
        return keras.ops.vectorized_map(function, rows)
    except RuntimeError as error:
        if "data-dependent control flow" not in str(error):
            raise
    one_by_one = zip(*map(torch.unbind, keras.tree.flatten(rows)), strict=True)
    return torch.stack([function(keras.tree.pack_sequence_as(rows, row)) for row in one_by_one])


def unfinished_rows(unfinished, fixed_shapes):
    """Functions that take the unfinished rows out of a tensor, and put what became of them back.

    Args:
        unfinished: bool tensor (batch,).
        fixed_shapes: bool, whether a compiler wants as many rows every time: all of them.
    """
    if fixed_shapes:
        return (lambda whole: whole), (lambda whole, part: part)
    rows = unfinished.nonzero()[:, 0]
    return (lambda whole: whole[rows]), (lambda whole, part: whole.index_copy(0, rows, part))
