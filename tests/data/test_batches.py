import functools
import itertools

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from nft_keras.data import Part
from nft_keras.data.batches import batches, in_graph, order
from nft_keras.data.features.augment import augmentation, crop_and_flip, mixing
from nft_keras.experiments.recipe import settings
from tests.backend.features import last_line

N = 103
Y = np.arange(N, dtype="int32")


def part(kind):
    """(a part whose labels are its row numbers, what minibatches should show of it as one float array)."""
    rng = np.random.default_rng(0)
    if kind == "dense":
        x = shown = rng.normal(size=(N, 3, 5)).astype("float32")
    elif kind == "uint8":
        x = rng.integers(0, 256, (N, 8, 8, 3)).astype("uint8")
        shown = x / np.float32(255)
    else:
        shown = np.where(rng.random((N, 40)) < 0.1, rng.normal(size=(N, 40)), 0).astype("float32")
        shown[7] = 0
        x = scipy.sparse.csr_matrix(shown)
    return Part(x, Y), shown


def collect(dataset):
    xs, ys = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(xs), np.concatenate(ys)


@pytest.mark.parametrize("kind", ["dense", "uint8", "sparse"])
def test_without_a_seed_the_minibatches_are_the_part_in_its_order(kind):
    of_kind, shown = part(kind)
    dataset = batches(of_kind, 16)
    x, y = collect(dataset)
    np.testing.assert_allclose(x, shown, rtol=1e-6)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(y, Y)
    sizes = [len(y) for _, y in dataset.as_numpy_iterator()]
    assert sizes == [16] * 6 + [7]
    assert len(dataset) == 7


@pytest.mark.parametrize("kind", ["dense", "uint8", "sparse"])
def test_a_pass_shows_every_example_once_with_its_label(kind):
    of_kind, shown = part(kind)
    x, y = collect(batches(of_kind, 10, seed=3, epoch=tf.Variable(5)))
    np.testing.assert_array_equal(np.sort(y), Y)
    np.testing.assert_allclose(x, shown[y], rtol=1e-6)


def test_the_order_is_a_function_of_seed_and_epoch():
    of_kind, _ = part("dense")
    epoch = tf.Variable(1)
    dataset = batches(of_kind, 10, seed=3, epoch=epoch)
    orders = []
    for number in (1, 2, 3):
        epoch.assign(number)
        orders.append(tuple(collect(dataset)[1]))
    assert len(set(orders)) == 3
    resumed = batches(of_kind, 10, seed=3, epoch=tf.Variable(2, dtype=tf.int64))
    assert tuple(collect(resumed)[1]) == orders[1]
    assert tuple(collect(batches(of_kind, 7, seed=3, epoch=epoch))[1]) == orders[2]
    assert tuple(collect(batches(of_kind, 10, seed=4, epoch=epoch))[1]) not in orders


@pytest.mark.parametrize("kind", ["dense", "uint8", "sparse"])
def test_minibatches_taken_in_the_graph_are_the_same_bits(kind):
    of_kind, _ = part(kind)
    of_kind = Part(of_kind.x, Y, weights=np.linspace(0, 1, N, dtype="float32"))
    epoch, kept = tf.Variable(0), tf.Variable(np.ones(N, bool))
    arguments = (of_kind, 10, 3, epoch)
    passes = batches(*arguments, kept=kept), in_graph(*arguments, kept=kept)
    assert passes[1].num_batches == len(passes[0])
    for number, count in ((1, N), (2, 25), (2, N)):  # of 25 examples two minibatches are whole, and eight empty
        epoch.assign(number)
        kept.assign(np.arange(N) < count)
        expected, taken = map(list, passes)
        assert [len(minibatch[1]) for minibatch in taken] == [len(minibatch[1]) for minibatch in expected]
        for minibatch, wanted in zip(taken, expected, strict=True):
            for array, other in zip(minibatch, wanted, strict=True):
                assert array.dtype == other.dtype
                np.testing.assert_array_equal(array, other)
    taken = np.concatenate([minibatch[1] for minibatch in in_graph(of_kind, 10)])
    np.testing.assert_array_equal(taken, Y)


def test_augmented_images_are_a_function_of_seed_epoch_and_minibatch():
    of_kind, _ = part("uint8")
    epoch = tf.Variable(1)
    dataset = batches(of_kind, 10, seed=3, epoch=epoch, augment=crop_and_flip)
    passes = []
    for number in (1, 2):
        epoch.assign(number)
        passes.append(list(dataset.as_numpy_iterator()))
    resumed = list(batches(of_kind, 10, seed=3, epoch=tf.Variable(2), augment=crop_and_flip).as_numpy_iterator())
    for (x, y), (x_resumed, y_resumed) in zip(passes[1], resumed, strict=True):
        np.testing.assert_array_equal(x, x_resumed)
        np.testing.assert_array_equal(y, y_resumed)
    first, second = ({y: x for xs, ys in one for x, y in zip(xs, ys, strict=True)} for one in passes)
    assert sum(np.array_equal(first[y], second[y]) for y in Y) < N / 4


def test_minibatches_are_augmented_independently():
    same = Part(np.tile(np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1)), (64, 1, 1, 1)).astype("uint8"), Y[:64])
    x, _ = zip(*batches(same, 8, seed=0, epoch=tf.Variable(0), augment=crop_and_flip).as_numpy_iterator(), strict=True)
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(x, 2))


def test_augmentation_changes_neither_order_nor_labels():
    of_kind, _ = part("uint8")
    plain, augmented = (
        collect(batches(of_kind, 10, seed=3, epoch=tf.Variable(1), augment=augment))
        for augment in (None, crop_and_flip)
    )
    np.testing.assert_array_equal(plain[1], augmented[1])


@pytest.mark.parametrize("seed", [3, 3_000_000_000])
def test_the_order_is_that_of_replicas_that_train_together(seed):
    rows, _ = collect(batches(part("uint8")[0], 10, seed=seed, epoch=tf.Variable(2)))
    alone, _ = collect(batches(part("uint8")[0], 10))
    np.testing.assert_array_equal(rows, alone[order(len(alone), [seed, 2]).numpy()])


def test_a_seed_without_the_number_of_the_pass_is_refused():
    with pytest.raises(ValueError, match="a seed needs epoch, .* got seed=3 alone"):
        batches(part("uint8")[0], 10, seed=3)


def test_augmentation_without_a_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        batches(part("uint8")[0], 10, augment=crop_and_flip)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_crop_and_flip_gives_every_shift_and_mirror_image_about_equally_often(dtype):
    image = np.random.default_rng(0).integers(1, 256, (6, 5, 3)).astype(dtype)
    n = 9 * 9 * 2 * 60
    result = crop_and_flip(np.tile(image, (n, 1, 1, 1)), (1, 2)).numpy()
    assert result.dtype == image.dtype
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    crops = [padded[top : top + 6, left : left + 5] for top in range(9) for left in range(9)]
    counts = {key.tobytes(): 0 for crop in crops for key in (crop, crop[:, ::-1])}
    for one in result:
        counts[one.tobytes()] += 1
    assert len(counts) == 162  # no two outcomes look the same
    deviation = (np.array(list(counts.values())) - 60) / np.sqrt(60)
    assert np.abs(deviation).max() < 5
    assert deviation.std() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("kind", ["dense", "uint8", "sparse"])
def test_minibatches_are_read_without_tf_data_s_tuning(kind):
    # It holds iterators asleep for seconds, which `phases="epoch"` would wait for twice an epoch.
    assert batches(part(kind)[0], 16).options().autotune.enabled is False


def test_crop_and_flip_is_a_function_of_its_seed():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype("uint8")
    first, again, other = (crop_and_flip(images, seed).numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_crop_and_flip_refuses_what_is_no_batch_of_images():
    with pytest.raises(ValueError, match=r"\(8, 8, 3\)"):
        crop_and_flip(np.zeros((8, 8, 3), "uint8"), (0, 0))


def test_only_kept_examples_come_and_then_empty_minibatches():
    part = Part(np.arange(10, dtype="float32")[:, None], np.arange(10, dtype="int32"))
    kept = tf.Variable(part.y % 2 == 0)
    found = [y.numpy().tolist() for _, y in batches(part, 3, kept=kept)]
    assert found == [[0, 2, 4], [6, 8], [], []]
    kept.assign(np.ones(10, bool))
    assert [len(y) for _, y in batches(part, 3, kept=kept)] == [3, 3, 3, 1]


@pytest.mark.parametrize("kept", [7, 5, 1])
def test_the_parts_of_replicas_are_the_minibatches_of_one_process(kept):
    part = Part(np.arange(7, dtype="float32")[:, None], np.arange(7, dtype="int32"))
    chosen, epoch = tf.Variable(np.arange(7) < kept), tf.Variable(1)
    whole = [y.numpy().tolist() for _, y in batches(part, 4, 0, epoch, kept=chosen)]
    workers = [batches(part, 4, 0, epoch, kept=chosen, parts=(first, n, 3)) for first, n in ((0, 2), (2, 1))]
    first, second = ([y.numpy().tolist() for _, y in worker] for worker in workers)
    for step, minibatch in enumerate(whole):
        parts = [*first[2 * step : 2 * step + 2], second[step]]
        if 0 < len(minibatch) < 3:
            assert parts == [minibatch] * 3
        else:
            assert sum(parts, []) == minibatch and max(map(len, parts)) - min(map(len, parts)) <= 1
    in_order = [batches(part, 4, parts=(i, 1, 5)) for i in range(5)]
    assert sorted(int(y) for worker in in_order for _, ys in worker for y in ys) == list(range(7))


MIXED = (settings.MixUp, settings.CutMix)
SINGLE = {choice.name: {choice.name: choice()} for choice in settings.Augmentations.__args__ if choice not in MIXED}
CHOSEN = SINGLE | {
    "all": {name: of[name] for name, of in SINGLE.items()},
    "vertical": {"flip": settings.Flip("vertical")},
    "wide": {"zoom": settings.Zoom(0.3, 0.1)},
}


@pytest.mark.parametrize("kind", CHOSEN)
def test_what_layers_of_keras_make_of_a_minibatch_is_a_function_of_seed_epoch_and_minibatch(kind):
    of_kind, shown = part("uint8")
    augment, epoch = augmentation(CHOSEN[kind]), tf.Variable(1)
    dataset = batches(of_kind, 10, seed=3, epoch=epoch, augment=augment)
    passes = []
    for number in (1, 2, 1):
        epoch.assign(number)
        passes.append(list(dataset.as_numpy_iterator()))
    resumed = batches(of_kind, 10, 3, tf.Variable(2), augmentation(CHOSEN[kind])).as_numpy_iterator()
    for (x, y), (x_resumed, y_resumed) in zip(passes[1], resumed, strict=True):
        np.testing.assert_array_equal(x, x_resumed)
        np.testing.assert_array_equal(y, y_resumed)
    for (x, y), (x_again, _), (_, y_other) in zip(passes[0], passes[2], passes[1], strict=True):
        np.testing.assert_array_equal(x, x_again)
        assert x.shape == (len(y), 8, 8, 3) and x.dtype == np.float32 and -1e-5 <= x.min() and x.max() <= 1 + 1e-5
        assert (y != y_other).any()
    first, second = ({y: x for xs, ys in one for x, y in zip(xs, ys, strict=True)} for one in passes[:2])
    assert sum(np.array_equal(first[y], second[y]) for y in Y) < 0.7 * N
    assert sum(np.allclose(first[y], shown[y], atol=1e-5) for y in Y) < 0.7 * N


@pytest.mark.parametrize("kind", ["flip", "rotation", "all"])
def test_minibatches_of_one_pass_are_altered_differently(kind):
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3))
    same = Part(np.tile(image, (40, 1, 1, 1)).astype("uint8"), Y[:40])
    dataset = batches(same, 8, seed=0, epoch=tf.Variable(0), augment=augmentation(CHOSEN[kind]))
    x, _ = zip(*dataset.as_numpy_iterator(), strict=True)
    assert not all(np.array_equal(a, b) for a, b in itertools.combinations(x, 2))


@pytest.mark.parametrize("kind", ["flip", "rand-augment"])
def test_an_empty_minibatch_is_augmented_too(kind):
    dataset = batches(part("uint8")[0], 60, 3, tf.Variable(1), augmentation(CHOSEN[kind]), tf.Variable(Y < 3))
    assert [x.shape for x, _ in dataset.as_numpy_iterator()] == [(3, 8, 8, 3), (0, 8, 8, 3)]


def test_a_flip_mirrors_half_of_the_images_and_nothing_else(caplog):
    of_kind, shown = part("uint8")
    x, y = collect(batches(of_kind, 10, 3, tf.Variable(1), augmentation(SINGLE["flip"])))
    mirrored = [np.allclose(image, shown[i][:, ::-1], atol=1e-6) for image, i in zip(x, y, strict=True)]
    same = [np.allclose(image, shown[i], atol=1e-6) for image, i in zip(x, y, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True)) and 0.3 * N < sum(mirrored) < 0.7 * N
    assert "AutoGraph" not in caplog.text


def test_the_dtype_policy_of_a_training_does_not_reach_the_images():
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        augment = augmentation(CHOSEN["all"])
        assert augment(tf.zeros((2, 8, 8, 3)), tf.constant([1, 2])).dtype == tf.float32
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("choice", MIXED)
def test_images_are_mixed_as_their_labels_say(choice):
    of_kind, shown = part("uint8")
    chosen = {"flip": settings.Flip(), choice.name: choice(1.0)}
    assert augmentation({choice.name: choice()}) is None and mixing({"flip": settings.Flip()}, N) is None
    dataset = batches(of_kind, 10, 3, tf.Variable(1), mix=mixing(chosen, N))
    x, shares = (np.concatenate(values) for values in zip(*dataset.as_numpy_iterator(), strict=True))
    assert x.shape == (N, 8, 8, 3) and x.dtype == shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    mixed = 0
    for image, share in zip(x, shares, strict=True):
        first, *others = np.flatnonzero(share > 1e-6)
        second = others[0] if others else first
        assert len(others) <= 1
        if choice is settings.MixUp:
            np.testing.assert_allclose(image, np.tensordot(share, shown, 1), atol=1e-4)
        else:
            of_first, of_second = ((np.abs(image - shown[i]) < 1e-6).all(-1) for i in (first, second))
            # Keras' shares are those of rectangles between the pixels: a row and a column may be too many.
            assert (of_first | of_second).mean() > 0.7
            assert of_first.mean() == pytest.approx(share[first], abs=0.3)
        mixed += bool(others)
    assert mixed > N / 2
    again = batches(of_kind, 10, 3, tf.Variable(1), mix=mixing(chosen, N))
    for (a, b), (c, d) in zip(dataset, again, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize("choice", MIXED)
def test_an_empty_minibatch_is_mixed_too(choice):
    mix = mixing({choice.name: choice()}, N)
    dataset = batches(part("uint8")[0], 60, 3, tf.Variable(1), None, tf.Variable(Y < 3), mix=mix)
    assert [y.shape for _, y in dataset.as_numpy_iterator()] == [(3, N), (0, N)]


HASH = """
import hashlib, sys
import numpy as np, tensorflow as tf
from nft_keras.data import Part
from nft_keras.data.batches import batches
from nft_keras.data.features.augment import augmentation, mixing
from nft_keras.experiments.recipe import settings

part = Part(np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype("uint8"), np.arange(30, dtype="int32"))
chosen = {choice.name: choice() for choice in settings.Augmentations.__args__}
found = batches(part, 8, 3, tf.Variable(1), augmentation(chosen), mix=mixing(chosen, 30)).as_numpy_iterator()
print(hashlib.sha256(b"".join(x.tobytes() + y.tobytes() for x, y in found)).hexdigest())
"""


@functools.cache
def hashed(backend):
    """What the program says on a back end."""
    return last_line("-c", HASH, backend=backend)


@pytest.mark.slow
@pytest.mark.xdist_group("hashed")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_images_are_altered_alike_whatever_keras_computes_with(backend):
    assert hashed(backend) == hashed("tensorflow")
