"""The five data sets of Larochelle et al. (2007): the published files where they are to be had, else drawn anew.

Where a set comes from is the loader's option `source`:

- "published": the files from http://www.iro.umontreal.ca/~lisa/icml2007data/, found in the data directory (or up to
  two folders below it) as the zip or as the two .amat tables out of it, else downloaded into it. They are parsed once.
- "generated": drawn by the published procedure (`nft_keras.data.sources.generate`), once and with one seed, so that
  there is one generated data set as there is one published data set.
- "auto": published files that are there, else a set that was generated before, else the download, else generated.

Either way the split is the published one, whatever `split_seed` is, and the provenance says which it was.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Literal

import numpy as np

from nft_keras._text import say
from nft_keras.data import SPECS, DataError, Dataset, Part
from nft_keras.data.features.images import Images
from nft_keras.data.io import cache
from nft_keras.data.io.download import DownloadError, download
from nft_keras.data.io.prepared import open_prepared
from nft_keras.data.sources import amat, generate
from nft_keras.data.sources.photographs import ALL

Source = Literal["auto", "published", "generated"]

_FOLDERS = tuple(f"{protocol}://www.iro.umontreal.ca/~lisa/icml2007data" for protocol in ("https", "http"))
_SEED = 0
# The caches are keyed by this, raised whenever a published table is read in another way, and by the sets' own versions.
_PARSER_VERSION = 1
_PUBLISHED = f"published-v{_PARSER_VERSION}.npz"


@dataclasses.dataclass(frozen=True)
class _Set:
    """What was published, and how to draw the like.

    `megabytes`, `sha1` and `sideways` (images stored column by column) are as in scikit-data's
    `larochelle_etal_2007`, by one of the paper's authors; nobody publishes sizes in bytes. For the sets that are not
    marked there the pixels stay as they lie in the file. `version` is raised whenever the same seed draws other images.
    """

    archive: str
    train: str
    test: str
    megabytes: float
    sha1: str
    ingredients: str
    class_names: tuple
    draw: object
    sideways: bool = False
    version: int = 2
    remark: str = ""


_DIGITS = tuple("0123456789")
_BACKGROUNDS = f"{len(ALL)} photographs of {', '.join(dict.fromkeys(p.distribution for p in ALL))}"
_SETS = {
    "mnist-rot": _Set(
        "mnist_rotation_new.zip",
        "mnist_all_rotation_normalized_float_train_valid.amat",
        "mnist_all_rotation_normalized_float_test.amat",
        56,
        "e67f72fa42029f62fd8eb92b0638c1b9761c9a63",
        " from MNIST",
        _DIGITS,
        lambda n, rng, data_dir: _digits(n, rng, data_dir, rotated=True),
    ),
    "mnist-back-image": _Set(
        "mnist_background_images.zip",
        "mnist_background_images_train.amat",
        "mnist_background_images_test.amat",
        88,
        "fb6fce9ed6372e0068ff7cb3e7b9e78dbda7ceae",
        f" from MNIST and {_BACKGROUNDS}",
        _DIGITS,
        lambda n, rng, data_dir: _digits(n, rng, data_dir, background=True),
        sideways=True,
    ),
    "mnist-rot-back-image": _Set(
        "mnist_rotation_back_image_new.zip",
        "mnist_all_background_images_rotation_normalized_train_valid.amat",
        "mnist_all_background_images_rotation_normalized_test.amat",
        115,
        "902bb7e96136dd76e9f2924d7fdb9eb832f7bc33",
        f" from MNIST and {_BACKGROUNDS}",
        _DIGITS,
        lambda n, rng, data_dir: _digits(n, rng, data_dir, rotated=True, background=True),
    ),
    "rectangles-image": _Set(
        "rectangles_images.zip",
        "rectangles_im_train.amat",
        "rectangles_im_test.amat",
        82,
        "2700ba92129ae195e93070d8b27f830323573a57",
        f" from {_BACKGROUNDS}",
        ("wide", "tall"),
        lambda n, rng, data_dir: generate.rectangles_image(n, rng),
        version=3,
    ),
    "convex": _Set(
        "convex.zip",
        "convex_train.amat",
        "50k/convex_test.amat",
        3.4,
        "61eab3c60e0e1caeaa0b82abf827f1809cfd2ef9",
        "",
        ("non-convex", "convex"),
        lambda n, rng, data_dir: generate.convex(n, rng),
        remark="; harder for CNN-A than the published set",
    ),
}


def mnist_rot(data_dir: Path, split_seed: int, source: Source = "auto") -> Dataset:
    """Handwritten digits rotated by any angle.

    Generated, the digits are a random choice of MNIST's 70,000, none of them used twice, so that no digit of the
    training set is in the test set.

    Args:
        data_dir: `pathlib.Path`, where the published files or tensorflow-datasets' `mnist/` are, or are downloaded to.
        split_seed: not used, the split is the published one.
        source: published files, generated images, or auto: what is there, else the download, else generated
            (docs/explanation/generated-images.md).

    Returns:
        A `Dataset` of 10,000, 2,000 and 50,000 images (28, 28, 1), uint8; float32 in [0, 1] where the published
        values are not all multiples of 1 / 255.

    Raises:
        DataError: for damaged files, or if what is needed is neither in data_dir nor to be had from the network.
    """
    return _load("mnist-rot", data_dir, source)


def mnist_back_image(data_dir: Path, split_seed: int, source: Source = "auto") -> Dataset:
    """Handwritten digits, white, over patches of photographs; arguments and result as of `mnist_rot`."""
    return _load("mnist-back-image", data_dir, source)


def mnist_rot_back_image(data_dir: Path, split_seed: int, source: Source = "auto") -> Dataset:
    """Handwritten digits, rotated, over patches of photographs; arguments and result as of `mnist_rot`."""
    return _load("mnist-rot-back-image", data_dir, source)


def rectangles_image(data_dir: Path, split_seed: int, source: Source = "auto") -> Dataset:
    """Is a rectangle taller than wide? One patch of a photograph inside it, another one around it.

    Arguments and result as of `mnist_rot`; to generate it nothing has to be downloaded. What the labels 0 and 1 of
    the published tables stand for is not written down, their classes are called "0" and "1".
    """
    return _load("rectangles-image", data_dir, source)


def convex(data_dir: Path, split_seed: int, source: Source = "auto") -> Dataset:
    """Is a white region on black convex? 6,000, 2,000 and 50,000 images; otherwise as `rectangles_image`."""
    return _load("convex", data_dir, source)


def origin(name, data_dir):
    """Where a data set would come from now, in one line; nothing is loaded or downloaded.

    Args:
        name: one of the five names.
        data_dir: `pathlib.Path`.

    Returns:
        str.
    """
    what = _SETS[name]
    if files := _published_files(name, data_dir):
        return f"published, {files[0]}"
    if _cached(name, data_dir, _PUBLISHED).exists():
        return "published, parsed before"
    if _cached(name, data_dir, _generated(name)).exists():
        return 'generated before (source "published" downloads)'
    return f"download of {what.megabytes:g} MB from www.iro.umontreal.ca, else generated{what.ingredients}"


def _load(name, data_dir, source):
    if source not in Source.__args__:
        raise DataError(f"{name}: source must be one of {', '.join(Source.__args__)}, got {source!r}")
    found = _ready(name, data_dir, source)
    if found is None:
        with cache.one_at_a_time(_cached(name, data_dir, "lock")):
            found = _ready(name, data_dir, source) or _make(name, data_dir, source)
    x, y, kind = found
    what, spec = _SETS[name], SPECS[name]
    how = f"seed {_SEED}, version {what.version}{what.remark}"
    provenance = f"generated after Larochelle et al. (2007){what.ingredients} ({how})"
    class_names = what.class_names
    if kind == "published":
        provenance = "published files (Larochelle et al. 2007)"
        class_names = tuple(map(str, range(spec.num_classes)))
    starts = np.cumsum([0, *spec.sizes])
    parts = [Part(x[a:b], y[a:b]) for a, b in itertools.pairwise(starts)]
    return Dataset(*parts, spec.num_classes, provenance, class_names, Images(*spec.input_shape))


def _ready(name, data_dir, source):
    """(x, y, kind) out of a cache that `source` may use, or None."""
    stamp = ""
    if source != "generated":
        stamp = _stamp(_published_files(name, data_dir))
        published = cache.read(_cached(name, data_dir, _PUBLISHED), "x", "y", "stamp")
        if published and stamp in ("", str(published[2])):
            return *published[:2], "published"
    if source == "generated" or (source == "auto" and not stamp):
        if generated := cache.read(_cached(name, data_dir, _generated(name)), "x", "y"):
            return *generated, "generated"
    return None


def _make(name, data_dir, source):
    """(x, y, kind) from the published files or the generator, kept in a cache."""
    if source != "generated":
        try:
            files = _published_files(name, data_dir) or _download(name, data_dir)
            return *_parse(name, data_dir, files), "published"
        except DownloadError as error:
            if source == "published":
                advice = f"put {_SETS[name].archive} into {data_dir} or choose source generated"
                raise DataError(f"{name}: {error}; {advice}") from error
            say(f"{name}: {error}; it is generated instead")
    n = sum(SPECS[name].sizes)
    say(f"{name}: generating {n:,} images")
    x, y = _SETS[name].draw(n, np.random.default_rng([_SEED, *name.encode()]), data_dir)
    cache.write(_cached(name, data_dir, _generated(name)), x=x, y=y)
    return x, y, "generated"


def _parse(name, data_dir, files):
    """(x, y) of the two published tables, kept in a cache."""
    say(f"{name}: parsing {', '.join(dict.fromkeys(file.name for file in files))}")
    what, (train, valid, test) = _SETS[name], SPECS[name].sizes
    members, rows = (what.train, what.test), (train + valid, test)
    tables = [amat.read(*table, SPECS[name].num_classes) for table in zip(files, members, rows, strict=True)]
    x, y = (np.concatenate(arrays) for arrays in zip(*tables, strict=True))
    x = _compact(x).reshape(-1, 28, 28, 1)
    if what.sideways:
        x = np.ascontiguousarray(x.swapaxes(1, 2))
    cache.write(_cached(name, data_dir, _PUBLISHED), x=x, y=y, stamp=np.array(_stamp(files)))
    return x, y


def _compact(x):
    """Bytes instead of floats, a quarter of the memory, if the printed digits are those of k / 255 everywhere."""
    levels = 255 * x
    rounded = np.rint(levels)
    exact = np.abs(levels - rounded).max() < 1e-3 and rounded.min() >= 0 and rounded.max() <= 255
    return rounded.astype("uint8") if exact else x


def generator_version(name):
    """The version of what generates one of the sets, an int: the same seed and version give the same images."""
    return _SETS[name].version


def _generated(name):
    return f"generated-v{_SETS[name].version}-seed{_SEED}.npz"


def _cached(name, data_dir, ending):
    return data_dir / "nft_keras" / f"{name}-{ending}"


def _published_files(name, data_dir):
    """The file that holds the training table and the one that holds the test table, or None if there is neither."""
    what = _SETS[name]
    if (data_dir / what.archive).exists():
        return data_dir / what.archive, data_dir / what.archive
    files = []
    for member in (what.train, what.test):
        *folder, table = member.split("/")
        found = [file for depth in ("", "*/", "*/*/") for file in sorted(data_dir.glob(depth + table))]
        files.append(next((file for file in found if [file.parent.name] == folder), found[0] if found else None))
    if None not in files:
        return tuple(files)
    if any(files):
        missing = what.test if files[0] else what.train
        raise DataError(f"{name}: {files[0] or files[1]} is there, but its companion {missing} is not")
    return None


def _stamp(files):
    """Tells a file that was replaced from the one that was parsed; empty where there is none."""
    return " ".join(f"{file.name}:{(stat := file.stat()).st_size}:{stat.st_mtime_ns}" for file in files or ())


def _download(name, data_dir):
    what = _SETS[name]
    urls = [f"{folder}/{what.archive}" for folder in _FOLDERS]
    return (download(urls, data_dir / what.archive, sha1=what.sha1),) * 2


def _digits(n, rng, data_dir, **how):
    """n different digits of MNIST, changed by `generate.digits`."""
    images, labels = _mnist(data_dir)
    chosen = rng.permutation(len(images))[:n]
    return generate.digits(images[chosen], rng, **how), labels[chosen]


def _mnist(data_dir):
    """All 70,000 images (uint8, 28x28) and labels of tensorflow-datasets' mnist."""
    *parts, _ = open_prepared("mnist", data_dir)
    images = np.concatenate([part["image"][..., 0] for part in parts])
    return images, np.concatenate([part["label"] for part in parts]).astype("int32")
