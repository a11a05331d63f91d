"""A program: trains by each method, saves and loads, where there is nothing but nft_keras, Keras and a back end.

python alone.py FOLDER NAME... prints as JSON which of the packages NAME can be imported, and of each method the loss of
every epoch and the largest difference between a model's outputs before it was saved and after it was loaded.
"""

import importlib.util
import json
import sys
from pathlib import Path

import keras
import numpy as np

import nft_keras
from nft_keras import optimizers


def classifier():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])


def nft(x, y):
    model = nft_keras.FriendlyModel(classifier(), nft_keras.mlp(4, hidden=8))
    compile(model, auxiliary_optimizer="adam")
    return model, nft_keras.DevelopmentalPlan(eta_max=10.0, simplification_epochs=2), (x, y)


def ft(x, y):
    model = nft_keras.FriendlyTraining(classifier(), step=1.0, confidence=0.9)
    compile(model)
    return model, nft_keras.PerturbationPlan(max_steps=4, simplification_epochs=2), (x, y)


def eef(x, y):
    model = nft_keras.EasyExamplesFirst(classifier())
    compile(model)
    plan = nft_keras.EasyExamplesPlan((x, y), len(x), first_fraction=0.5, simplification_epochs=3)
    return model, plan, (plan.minibatches(8),)


METHODS = {"nft": nft, "ft": ft, "eef": eef}


def compile(model, **of_method):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizers.Adam(1e-2, l2=1e-3), loss=loss, metrics=["accuracy"], **of_method)


def trained(name, folder):
    """What one method gave."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 4)).astype("float32"), rng.integers(3, size=24)
    model, plan, data = METHODS[name](x, y)
    history = model.fit(*data, epochs=4, verbose=0, callbacks=[plan], validation_data=(x, y)).history
    before = model.predict(x, verbose=0)
    model.save(folder / f"{name}.keras")
    model = keras.models.load_model(folder / f"{name}.keras")
    after = model.predict(x, verbose=0)
    model.fit(*data, initial_epoch=4, epochs=5, verbose=0, callbacks=[plan])
    return {"loss": history["val_loss"], "difference": float(abs(after - before).max())}


def main(folder, *packages):
    importable = [package for package in packages if importlib.util.find_spec(package)]
    methods = {name: trained(name, Path(folder)) for name in METHODS}
    print(json.dumps({"backend": keras.backend.backend(), "importable": importable, "methods": methods}))


if __name__ == "__main__":
    main(*sys.argv[1:])
