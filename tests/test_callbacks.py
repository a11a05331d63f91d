"""Pictures, curves and films of a training: what they show is what the classifier saw."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import make_moons
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nft_keras import (
    DevelopmentalPlan,
    EasyExamplesFirst,
    EasyExamplesPlan,
    FriendlyModel,
    FriendlyTraining,
    PerturbationPlan,
    pictures,
)
from nft_keras.auxiliaries import mlp, unet
from nft_keras.callbacks import DecisionFilm, PlanCurve, SimplificationPicture
from nft_keras.classifiers import fc_a

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def moons(n=60):
    x, y = make_moons(n, noise=0.1, random_state=0)
    return x.astype("float32"), y.astype("int32")


def images(n=12, shape=(8, 8, 1)):
    x = np.random.default_rng(0).random((n, *shape)).astype("float32")
    return x, (np.arange(n) % 2).astype("int32")


def friendly(x):
    auxiliary = mlp(2, hidden=8) if x.ndim == 2 else unet(x.shape[1:], filters=2, depth=1)
    model = FriendlyModel(fc_a(x.shape[1:], 2, units=5), auxiliary)
    adam = keras.optimizers.Adam
    model.compile(adam(0.01), auxiliary_optimizer=adam(0.01), loss=LOSS, metrics=["accuracy"])
    return model


def fit(model, x, y, *callbacks, epochs=5, plan=None, **kwargs):
    if not any(isinstance(callback, DevelopmentalPlan) for callback in callbacks):
        callbacks = [*callbacks, plan or DevelopmentalPlan(eta_max=1.0, simplification_epochs=4)]
    return model.fit(x, y, epochs=epochs, callbacks=[*callbacks], verbose=0, **kwargs).history


def shown(figure, rows):
    """What a figure shows as images, (rows, columns, ...)."""
    arrays = np.array([axis.images[0].get_array() for axis in figure.axes])
    return arrays.reshape(rows, -1, *arrays.shape[1:])


def size(path):
    with Image.open(path) as image:
        image.load()
        return image.format, image.size


class Seen(keras.callbacks.Callback):
    """Keeps the altered forms of examples, before the plan drops what alters them."""

    def __init__(self, x, y=None):
        super().__init__()
        self.x, self.y, self.altered = x, y, {}

    def on_epoch_end(self, epoch, logs=None):
        if self.model.simplifying:
            self.altered[epoch + 1] = np.array(self.model.simplify(self.x, self.y))


def test_a_picture_shows_x_delta_and_their_sum_until_the_drop_though_it_stands_behind_the_plan(tmp_path):
    x, y = images()
    path, plan = tmp_path / "new" / "picture.png", DevelopmentalPlan(1.0, 4)
    picture, keep = SimplificationPicture(x[:3], path=path), Seen(x[:3])
    fit(friendly(x), x, y, keep, plan, picture)
    assert size(path)[0] == "PNG" and list(keep.altered) == [2, 3, 4]
    columns = shown(picture.draw(), rows=3).swapaxes(0, 1)
    np.testing.assert_allclose(columns[0], x[:3, ..., 0], atol=1e-6)
    for i, altered in enumerate(keep.altered.values()):
        np.testing.assert_allclose(columns[1 + 2 * i], (altered - x[:3])[..., 0], atol=1e-6)
        np.testing.assert_allclose(columns[2 + 2 * i], altered[..., 0].clip(0, 1), atol=1e-6)
    assert np.abs(columns[1]).max() > 0.01


def test_only_the_chosen_epochs_are_shown_and_only_while_data_are_altered(tmp_path):
    x, y = images()
    picture = SimplificationPicture(x[:2], path=tmp_path / "picture.pdf", epochs=[3, 5])
    fit(friendly(x), x, y, picture)
    assert list(picture.kept) == [3] and (tmp_path / "picture.pdf").read_bytes().startswith(b"%PDF")


def test_six_epochs_are_spread_over_a_long_plan(tmp_path):
    x, y = images(4)
    picture = SimplificationPicture(x[:1], path=tmp_path / "picture.png")
    fit(friendly(x), x, y, picture, plan=DevelopmentalPlan(1.0, 22), epochs=23)
    assert list(picture.kept) == [2, 6, 10, 14, 18, 22]


def test_colour_images_of_any_range_and_grey_ones_without_channels_are_shown(tmp_path):
    x, y = images(shape=(8, 8, 3))
    picture = SimplificationPicture(255 * x[:2], path=tmp_path / "colour.png", epochs=[2])
    fit(friendly(x), 255 * x, y, picture)
    np.testing.assert_allclose(shown(picture.draw(), rows=2)[:, 0], x[:2] / x[:2].max(), atol=1e-6)
    x = images()[0][..., 0]
    picture = SimplificationPicture(x[:2], path=tmp_path / "grey.png", epochs=[1])
    model = FriendlyTraining(fc_a(x.shape[1:], 2, units=5), step=0.5, confidence=1.0)
    model.compile("adam", LOSS)
    with pytest.raises(ValueError, match="simplify needs the labels y too"):
        fit(model, x, y, picture, plan=PerturbationPlan(3, 4))
    picture = SimplificationPicture(x[:2], y[:2], path=tmp_path / "grey.png")
    keep = Seen(x[:2], y[:2])
    fit(model, x, y, keep, picture, plan=PerturbationPlan(3, 4))
    np.testing.assert_allclose(picture.kept[2][..., 0], keep.altered[2], atol=1e-6)


def test_of_a_training_that_alters_nothing_there_is_no_picture(tmp_path):
    x, y = images()
    fit(friendly(x), x, y, SimplificationPicture(x, path=tmp_path / "a.png"), plan=DevelopmentalPlan(1.0, 0), epochs=2)
    assert not list(tmp_path.iterdir())


def test_tensorboard_has_the_images_beside_the_curves_of_the_same_run(tmp_path):
    x, y = images()
    picture = SimplificationPicture(x[:3], epochs=[2, 4], log_dir=tmp_path / "train")
    keep = Seen(x[:3])
    fit(friendly(x), x, y, keep, picture, keras.callbacks.TensorBoard(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    run = EventAccumulator(str(tmp_path / "train"), size_guidance={"tensors": 0}).Reload()
    assert {"epoch_loss", "epoch_eta", "x, delta, x + delta"} <= set(run.Tags()["tensors"])
    events = run.Tensors("x, delta, x + delta")
    assert [event.step for event in events] == [2, 4]
    width, height, png = events[0].tensor_proto.string_val
    assert (width, height) == (b"24", b"24") and png.startswith(b"\x89PNG")
    (tmp_path / "image.png").write_bytes(png)
    rows = np.asarray(Image.open(tmp_path / "image.png").convert("L")).reshape(3, 8, 3, 8).swapaxes(1, 2) / 255
    for row, expected in ((0, x[:3]), (2, keep.altered[2].clip(0, 1))):
        np.testing.assert_allclose(rows[row], expected[..., 0], atol=1 / 255)


@pytest.mark.parametrize("y_as", ["indices", "one-hot"])
def test_a_film_has_the_points_as_the_classifier_saw_them_and_where_it_changes_its_mind(tmp_path, y_as):
    x, y = moons()
    film, keep = DecisionFilm(x, np.eye(2)[y] if y_as == "one-hot" else y, tmp_path / "moons.gif"), Seen(x)
    model = friendly(x)
    fit(model, x, y, keep, film, epochs=6)
    assert list(film.kept) == [1, 2, 3, 4, 5, 6]
    for gamma, (points, _) in film.kept.items():
        np.testing.assert_allclose(points, keep.altered.get(gamma, x), atol=1e-6)
    predicted = model.predict(film.grid.reshape(-1, 2), verbose=0).argmax(1).reshape(150, 150)
    assert 0 < predicted.mean() < 1
    np.testing.assert_array_equal(film.kept[6][1], predicted)
    assert size(tmp_path / "moons.gif")[0] == "GIF" and size(tmp_path / "moons.png")[0] == "PNG"
    with Image.open(tmp_path / "moons.gif") as gif:
        assert gif.n_frames >= 6
    still = film.draw()
    titles = [axis.get_title().split(" = ")[1] for axis in still.axes if axis.collections]
    assert titles == ["2", "3", "4", "6, original data"]
    of_class = still.axes[0].collections[1].get_offsets()
    np.testing.assert_allclose(of_class, film.kept[2][0][y == 0], atol=1e-6)


def test_a_long_training_has_about_sixty_frames_the_first_ten_and_the_last_epoch_among_them(tmp_path):
    x, y = moons(4)
    film = DecisionFilm(x, y, tmp_path / "moons.gif")
    classifier = fc_a((2,), 2, units=5)
    classifier.compile("adam", LOSS)
    film.output = lambda: None
    classifier.fit(x, y, epochs=131, callbacks=[film], verbose=0)
    assert list(film.kept) == [*range(1, 11), *range(12, 131, 2), 131]
    film = DecisionFilm(x, y, tmp_path / "moons.gif", every=50)
    film.output = lambda: None
    classifier.fit(x, y, epochs=131, callbacks=[film], verbose=0)
    assert list(film.kept) == [*range(1, 11), 50, 100, 131]


@pytest.mark.parametrize("num_classes", [2, 3, 9])
def test_the_plane_has_the_points_of_every_class(num_classes):
    y = np.arange(2 * num_classes) % num_classes
    x = np.random.default_rng(0).random((len(y), 2)).astype("float32")
    grid = np.stack(np.meshgrid(*np.linspace(0, 1, 20) * np.ones((2, 1))), -1)
    boundary = np.floor(grid[..., 0] * (num_classes - 1e-9))[None]
    kept = {"gammas": [2], "x": x, "y": y, "simplified": x[None], "grid": grid, "boundary": boundary}
    regions, *classes = pictures.decisions(kept).axes[0].collections
    assert [len(of_class.get_offsets()) for of_class in classes] == [2] * num_classes
    assert len({tuple(of_class.get_facecolor()[0]) for of_class in classes}) == num_classes
    assert len({tuple(colour) for colour in regions.get_facecolor()}) == num_classes


def test_the_curves_are_the_logs_with_the_drop_marked_and_go_on_with_the_training(tmp_path):
    x, y = moons()
    curve, model = PlanCurve(tmp_path / "plan.png"), friendly(x)
    history = fit(model, x, y, curve, epochs=3, validation_data=(x, y))
    assert not any(line.get_label().startswith("the plan ends") for line in curve.draw().axes[0].lines)
    more = fit(model, x, y, curve, epochs=6, initial_epoch=3, validation_data=(x, y))
    history = {name: values + more[name] for name, values in history.items()}
    eta, perturbation, losses = curve.draw().axes
    np.testing.assert_allclose(eta.lines[0].get_xydata().T, [range(1, 7), history["eta"]], rtol=1e-6)
    relative = history["relative_perturbation"][1:4]
    np.testing.assert_allclose(perturbation.lines[0].get_xydata().T, [[2, 3, 4], relative], rtol=1e-6)
    for line, name in zip(losses.lines, ("loss", "val_loss"), strict=False):
        np.testing.assert_allclose(line.get_ydata(), history[name], rtol=1e-6)
    for axis in (eta, perturbation, losses):
        assert axis.lines[-1].get_label() == "the plan ends: epoch 4" and set(axis.lines[-1].get_xdata()) == {4}
    assert size(tmp_path / "plan.png")[0] == "PNG"


def test_the_curves_of_friendly_training_are_its_own_and_of_a_plain_classifier_its_losses(tmp_path):
    x, y = moons()
    classifier = fc_a((2,), 2, units=5)
    model, curve = FriendlyTraining(classifier, step=0.5, confidence=0.9), PlanCurve(tmp_path / "plan.png")
    model.compile("adam", LOSS)
    history = fit(model, x, y, curve, plan=PerturbationPlan(5, 3))
    steps, perturbation, losses = curve.draw().axes
    np.testing.assert_allclose(steps.lines[0].get_xydata().T, [[1, 2], history["perturbation_steps"][:2]], rtol=1e-6)
    np.testing.assert_allclose(perturbation.lines[0].get_ydata(), history["perturbation"][:2], rtol=1e-6)
    classifier.compile("adam", LOSS)
    classifier.fit(x, y, epochs=2, callbacks=[curve], verbose=0)
    (losses,) = curve.draw().axes
    assert losses.get_yscale() == "linear" and perturbation.get_yscale() == "log"
    assert len(losses.lines[0].get_ydata()) == 2


def test_without_a_path_a_notebook_shows_what_is_drawn(monkeypatch):
    displayed = []
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: "a notebook")
    monkeypatch.setattr(IPython.display, "display", displayed.append)
    x, y = moons()
    fit(friendly(x), x, y, DecisionFilm(x, y), PlanCurve(), epochs=2)
    film, still, curve = displayed
    assert 'src="data:image/gif;base64,R0lGOD' in film.data
    assert still.data.startswith(b"\x89PNG") and curve.data.startswith(b"\x89PNG")
    x, y = images()
    fit(friendly(x), x, y, SimplificationPicture(x[:2]), SimplificationPicture(x[:2], log_dir="never"), epochs=1)
    assert len(displayed) == 3  # nothing was altered


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PlanCurve(), "PlanCurve needs a path, which only a notebook does without"),
        (lambda: PlanCurve("a.gif"), "the path of PlanCurve must end with .png or .pdf or .svg, got 'a.gif'"),
        (lambda: DecisionFilm(*moons(), "a.png"), "the path of DecisionFilm must end with .gif, got 'a.png'"),
        (lambda: DecisionFilm(*images(), "a.gif"), r"points in the plane, got x of shape \(12, 8, 8, 1\)"),
        (lambda: DecisionFilm(*moons(), "a.gif", every=0), "every must be a whole number >= 1, got 0"),
        (lambda: SimplificationPicture(moons()[0]), "needs a path"),
        (
            lambda: SimplificationPicture(moons()[0], path="a.png"),
            r"images of 1 or 3 channels, got x of shape \(60, 2\)",
        ),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_that_cannot_be_drawn_is_refused(tmp_path):
    x, y = moons()
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "sigmoid")])
    plain.compile(loss="binary_crossentropy")
    with pytest.raises(ValueError, match="needs an output per class, the model has one of"):
        plain.fit(x, y, callbacks=[DecisionFilm(x, y, tmp_path / "a.gif")], verbose=0)
    with pytest.raises(ValueError, match="SimplificationPicture needs a model that alters data, got a Sequential"):
        plain.fit(x, y, callbacks=[SimplificationPicture(images()[0], path=tmp_path / "a.png")], verbose=0)
    chooses = EasyExamplesFirst(fc_a((8, 8, 1), 2, units=5))
    chooses.compile(loss="sparse_categorical_crossentropy")
    x, y = images()
    with pytest.raises(ValueError, match="SimplificationPicture needs a model that alters data, got a EasyExamples"):
        plan = EasyExamplesPlan((x, y), len(x), 0.5, 2)
        chooses.fit(x, y, callbacks=[SimplificationPicture(x, path=tmp_path / "a.png"), plan], verbose=0)


def test_nft_keras_is_imported_without_matplotlib():
    program = (
        "import sys; sys.modules['matplotlib'] = sys.modules['scipy'] = None; import nft_keras, nft_keras.callbacks; "
        "print(sorted({'tensorboard', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "callbacks.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize(
    "script, left",
    [*zip(SCRIPTS, (["logs", "simplification.png"], ["plan.png"], ["moons.gif", "moons.png"], []), strict=True)],
    ids=["picture", "curve", "film", "comparison"],
)
def test_a_script_of_the_page_is_short_and_leaves_what_the_page_says(script, left, tmp_path, monkeypatch, capsys):
    assert len(re.findall(r"^.", script, re.M)) <= 20
    monkeypatch.chdir(tmp_path)
    short = re.sub(r"\bepochs=\d+", "epochs=3", re.sub(r"simplification_epochs=\d+", "simplification_epochs=2", script))
    exec(short.replace("range(5)", "range(2)"), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert ("| NFT " in capsys.readouterr().out) == (not left)
