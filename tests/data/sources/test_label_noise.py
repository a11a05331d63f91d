import dataclasses

import numpy as np
import pytest

from nft_keras import data
from nft_keras.data import DataError, Part, find, load, permute_labels

PARTS = ("train", "valid", "test")


@pytest.fixture
def stand_in(monkeypatch):
    """CIFAR-10 needs a download; what its name says of label noise can be tested on points in the plane."""
    monkeypatch.setitem(data.SPECS, "cifar10", dataclasses.replace(data.SPECS["two-moons"]))


def labels(**options):
    dataset = load(options.pop("name", "two-moons"), **options)
    return {part: getattr(dataset, part).y for part in PARTS}


def test_labels_are_permuted_within_the_chosen_fraction():
    y = np.repeat(np.arange(10, dtype="int32"), 500)
    noisy = permute_labels(Part(np.arange(5000), y), 0.2, seed=1)
    np.testing.assert_array_equal(noisy.x, np.arange(5000))
    np.testing.assert_array_equal(np.bincount(noisy.y), np.bincount(y))
    changed = np.mean(noisy.y != y)
    assert changed <= 0.2
    assert changed == pytest.approx(0.2 * 0.9, abs=0.015)  # a tenth of the chosen get a label of their own class


def test_the_same_seed_permutes_the_same_labels_another_one_others():
    part = Part(np.arange(1000), np.repeat([0, 1], 500).astype("int32"))
    first, again, other = (permute_labels(part, 0.5, seed).y for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_validation_and_test_labels_stay_unless_asked():
    clean, noisy = labels(), labels(label_noise=0.5)
    assert (clean["train"] != noisy["train"]).any()
    np.testing.assert_array_equal(clean["valid"], noisy["valid"])
    np.testing.assert_array_equal(clean["test"], noisy["test"])
    asked = labels(label_noise=0.5, label_noise_parts=("train", "valid"))
    said = load("two-moons", label_noise=0.5, label_noise_parts=("train", "valid")).provenance
    assert said.endswith("seed 0), 50 % of the train and valid labels permuted")
    np.testing.assert_array_equal(noisy["train"], asked["train"])
    assert (clean["valid"] != asked["valid"]).any()
    np.testing.assert_array_equal(clean["test"], asked["test"])


def test_the_name_cifar10_n20_means_a_label_noise_of_a_fifth(stand_in):
    assert find("cifar10-n20") is data.SPECS["cifar10"]
    by_name, by_option = labels(name="cifar10-n20"), labels(name="cifar10", label_noise=0.2)
    clean = labels(name="cifar10-n0")
    for part in PARTS:
        np.testing.assert_array_equal(by_name[part], by_option[part])
    assert (by_name["train"] != clean["train"]).any()


def test_the_noise_is_within_the_subset_that_is_kept():
    clean, noisy = labels(train_size=100), labels(train_size=100, label_noise=0.3)
    np.testing.assert_array_equal(np.bincount(clean["train"]), np.bincount(noisy["train"]))
    assert 0 < np.sum(clean["train"] != noisy["train"]) <= 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cifar10-n20", "label_noise": 0.1}, "cifar10-n20.*0.2.*0.1"),
        ({"name": "cifar10-n120"}, "1.2"),
        ({"name": "cifar10-nx"}, "unknown data set 'cifar10-nx'"),
        ({"label_noise": 2.0}, r"\[0, 1\], got 2"),
        ({"label_noise": 0.1, "label_noise_parts": ("training",)}, "train, valid, test, got 'training'"),
        ({"label_noise": 0.1, "label_noise_parts": ()}, "label_noise_parts should name the parts .*, got none"),
    ],
)
def test_what_cannot_be_meant_is_refused(stand_in, options, message):
    with pytest.raises(DataError, match=message):
        labels(**options)
