"""A classifier and a training method."""

import keras
from keras import ops

from nft_keras import Plan, SimplifyingModel, backend


def polynomial(input_shape, num_classes, degree):
    """A linear classifier of the powers of x up to a degree."""
    x = keras.Input(input_shape)
    powers = keras.layers.Concatenate()([x**n for n in range(1, degree + 1)])
    return keras.Model(x, keras.layers.Dense(num_classes)(powers), name="polynomial")


class NoisyTraining(SimplifyingModel):
    """Trains a classifier on data with noise while its plan says so."""

    def __init__(self, classifier, **kwargs):
        super().__init__(classifier, **kwargs)
        self.deviation = keras.Variable(0.0, trainable=False, name="deviation")

    @backend.step
    def train_step(self, data):
        """One minibatch: Keras' own step, on noisy data while the plan says so."""
        if not self.simplifying:
            return backend.keras_step(self, data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        noisy = x + self.deviation * keras.random.normal(ops.shape(x), dtype=x.dtype)
        return backend.keras_step(self, (noisy, y, sample_weight))


class NoisePlan(Plan):
    """Lowers the noise epoch by epoch."""

    def __init__(self, deviation, **plan):
        super().__init__(**plan)
        self.deviation = deviation

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the noise of the epoch."""
        deviation = self.deviation * (1 - self.fraction(epoch + 1))
        self.model.deviation.assign(deviation)
        self.model.simplifying = deviation > 0


def noise(settings, classifier, dataset):
    """The model of a trial, and nothing more to compile it with."""
    return NoisyTraining(classifier), {}


def noise_plan(settings, dataset, **plan):
    """The plan of a trial."""
    return NoisePlan(settings.deviation, **plan)
