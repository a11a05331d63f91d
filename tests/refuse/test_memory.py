"""Files that promise gigabytes: refused with less than 1 GB of memory, in a process of their own that is measured."""

import subprocess
import sys
import zipfile

from nft_keras.data.io.origins import WINES
from tests.data.features.checkpoints import write_checkpoint
from tests.refuse import traps
from tests.refuse.conftest import COUNTS
from tests.refuse.test_data import reviews, rows

PROGRAM = """
import re, sys, keras, sklearn.model_selection, PIL.Image
from nft_keras import data, run
from nft_keras.data.sources import larochelle
from nft_keras.data.io.origins import WINES

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])  # ru_maxrss has the parent's too

baseline = peak()
for line in sys.stdin:
    recipe, folder = line.split()
    code = run.main([recipe, "--data-dir", folder, "--out", folder + "/out"])
    print(recipe, code, peak() - baseline, flush=True)
"""
RECIPE = "dataset: {%s}\nclassifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\nseeds: [0]\n"


def npz_of(**members):
    return lambda folder: traps.npz(folder / "a.npz", **members)


def packed(start, size, fill=b"\0"):
    def make(folder):
        path = traps.bomb(folder / "a.npz", "x.npy", start, size, fill)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("y.npy", traps.labels())

    return make


def tables_that_never_end(folder):
    (folder / "convex_test.amat").write_bytes(rows(1))
    traps.sparse(folder / "convex_train.amat")


def many_large_images(folder):
    for i in range(4):
        traps.png(folder / "pictures" / f"{i % 2}" / f"{i}.png", 9400, 9400)


def encoder(name):
    def make(folder):
        reviews(folder)
        directory = write_checkpoint(folder / "encoder", "bert")
        traps.sparse(directory / name)

    return make


NPZ, CSV = "name: npz, path: a.npz", "name: csv, path: t.csv"
HUGE = {
    "array": (NPZ, npz_of(x=traps.npy(f"({10 * traps.GIB // 8}, 1)"), y=traps.labels())),
    "packed-array": (NPZ, packed(traps.npy(f"({10 * traps.GIB // 8}, 1)"), 10 * traps.GIB)),
    "packed-header": (NPZ, packed(b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little"), 4 * traps.GIB, b" ")),
    "sparse-npz": (NPZ, lambda folder: traps.sparse(folder / "a.npz", start=b"PK\3\4")),
    "sparse-csv": (CSV, lambda folder: traps.sparse(folder / "t.csv", start=b"a,label\n1,0\n")),
    "one-line-csv": (CSV, lambda folder: (folder / "t.csv").symlink_to("/dev/zero")),
    "sparse-reviews": (
        "name: wines, features: tfidf",
        lambda folder: traps.sparse(folder / WINES, start=b"description,points\n"),
    ),
    "sparse-table": ("name: convex", tables_that_never_end),
    "packed-table": (
        "name: convex",
        lambda folder: traps.bomb(folder / "convex.zip", "convex_train.amat", b"", 10 * traps.GIB),
    ),
    "large-images": ("name: image-folder, path: pictures", many_large_images),
    "sparse-config": ("name: wines, encoder: encoder", encoder("config.json")),
    "sparse-tokenizer": ("name: wines, encoder: encoder", encoder("tokenizer.json")),
}


def test_what_promises_gigabytes_is_refused_without_taking_them(tmp_path):
    lines = []
    for kind, (dataset, make) in HUGE.items():
        folder = tmp_path / kind
        folder.mkdir()
        make(folder)
        (folder / "recipe.yaml").write_text(RECIPE % dataset)
        lines.append(f"{folder / 'recipe.yaml'} {folder}\n")
    (tmp_path / "sparse-recipe").mkdir()
    lines.append(f"{traps.sparse(tmp_path / 'sparse-recipe' / 'recipe.yaml')} {tmp_path / 'sparse-recipe'}\n")
    done = subprocess.run([sys.executable, "-c", PROGRAM], input="".join(lines), capture_output=True, text=True)
    results = [line.split() for line in done.stdout.splitlines()]
    assert [result[0] for result in results] == [line.split()[0] for line in lines], done.stderr
    assert {recipe: code for recipe, code, _ in results if code != "2"} == {}
    kilobytes = [int(peak) for _, _, peak in results]
    assert max(kilobytes) < 1e6, list(zip(HUGE, kilobytes, strict=False))
    COUNTS["data files"] += len(results)
