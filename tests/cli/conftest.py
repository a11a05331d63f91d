"""Trials of the user's own data, for the commands that apply their classifiers."""

import csv

import numpy as np
import pytest

from nft_keras.cli import run

TRAINING = """
classifiers: [fc-a]
methods: {ct: }
training: {epochs: 2, batch_size: 8, learning_rate: 0.01}
seeds: [0]
"""
DATASETS = {
    "images": "{name: image-folder, path: pictures, image_size: 6}",
    "numbers": "{name: csv, path: numbers.csv, label: kind}",
    "texts": "{name: csv, path: texts.csv, text: review, label: kind, num_words: 30}",
    "moons": "{name: two-moons}",
    "arrays": "{name: npz, path: arrays.npz}",
}
WORDS = ["good", "bad", "film", "plot", "très", "été", "a", "the", "actor", "scene"]


def write_inputs(folder):
    """Two classes of images, of rows of numbers and of texts, three of arrays."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("test", 5)):
        for kind, low in (("dark", 0), ("light", 100)):
            (folder / "pictures" / part / kind).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(low, low + 156, (9, 7, 3), dtype="uint8")
                Image.fromarray(pixels).save(folder / "pictures" / part / kind / f"{i}.png")
    with open(folder / "numbers.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["width", "kind", "height, in m"])
        writer.writerows([rng.normal(1000, 3), "ab"[i % 2], rng.normal(i % 2, 1e-3)] for i in range(40))
    with open(folder / "texts.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "review"])
        for i in range(40):
            writer.writerow([i % 2, " ".join(rng.choice(WORDS[i % 2 :], 6)) + f', "{i}"'])
    y = np.arange(60) % 3
    np.savez(folder / "arrays.npz", x=rng.normal(size=(60, 2, 4)) + y[:, None, None], y=y)


@pytest.fixture(scope="session")
def trials(tmp_path_factory):
    """{name: folder of a trial that was run} and the folder of their data."""
    folder = tmp_path_factory.mktemp("predict")
    write_inputs(folder)
    found = {}
    for name, dataset in DATASETS.items():
        (folder / f"{name}.yaml").write_text(f"dataset: {dataset}{TRAINING}")
        assert run.main([str(folder / f"{name}.yaml"), "--out", str(folder / "out"), "--data-dir", str(folder)]) == 0
        found[name] = folder / "out" / name / "fc-a" / "ct" / "seed-0"
    return found, folder
