import itertools

import keras
import numpy as np
import pytest

pytest.importorskip("jax")

from nft_keras.experiments.train.together.members import can_be_shifted, shifted_convolution  # noqa: E402

LAYERS = [
    {"padding": padding, "strides": strides, "dilation_rate": dilation, "groups": groups}
    for padding, strides, dilation, groups in itertools.product(("same", "valid"), (1, 2), (1, 2), (1, 2))
    if strides == 1 or dilation == 1  # Keras refuses both
]


@pytest.mark.parametrize("arguments", LAYERS, ids=str)
def test_a_convolution_is_computed_by_shifts_only_where_that_is_the_same(arguments):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")
    layer = keras.layers.Conv2D(6, 3, use_bias=False, **arguments)
    expected = layer(x)
    assert can_be_shifted(layer) == (arguments["dilation_rate"] == arguments["groups"] == 1)
    if can_be_shifted(layer):
        np.testing.assert_allclose(shifted_convolution(layer, x, layer.kernel), expected, atol=1e-5)
