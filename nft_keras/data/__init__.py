"""Every data set behind one registry: `load(name, data_dir)` gives its training, validation and test part."""

import dataclasses
import functools
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from nft_keras._checks import suggest
from nft_keras._registry import Registry, imported
from nft_keras.data.targets import Target, Task

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse


class DataError(ValueError):
    """Data that are missing, damaged or not what their name promises; the message says what to put where."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is known of a data set before it is loaded.

    Attributes:
        loader: "module:function"; the function takes `data_dir` (a `pathlib.Path`), `split_seed` (int) and the
            data set's own options as annotated keyword arguments, and returns a `Dataset`.
        summary: one line for people.
        input_shape: shape of one example with the default options, None where the user's file decides.
        num_classes: int, None where the user's file decides.
        sizes: (train, valid, test) numbers of examples, None where the user's file decides.
        origin: "module:function"; the function takes the name and `data_dir` and says in one line where the set would
            come from now, without loading it.
        files: names of the options that are paths of files or folders of the user's own.
        check: "module:function"; the function takes `data_dir` and all options, and refuses what can be refused before
            a file is read.
    """

    loader: str
    summary: str
    input_shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    sizes: tuple[int, int, int] | None = None
    origin: str | None = None
    files: tuple[str, ...] = ()
    check: str | None = None

    @functools.cached_property
    def function(self) -> "Callable[..., Dataset]":
        """The loader itself."""
        return imported(self.loader)

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The options of the loader: {name: `inspect.Parameter`}, annotations evaluated."""
        parameters = inspect.signature(self.function, eval_str=True).parameters
        return {name: p for name, p in parameters.items() if name not in ("data_dir", "split_seed")}

    def where(self, name: str, data_dir: str | os.PathLike) -> str:
        """One line: where the data set `name` would come from now."""
        return imported(self.origin)(name, Path(data_dir)) if self.origin else "a file of yours"


_ALWAYS = "nft_keras.data.io.origins:always"
_PREPARED = "nft_keras.data.io.origins:prepared"
_LAROCHELLE = "nft_keras.data.sources.larochelle:origin"
_OWN = {
    "two-moons": Spec(
        "nft_keras.data.sources.toy:two_moons",
        "two interleaved half circles in the plane",
        (2,),
        2,
        (300, 300, 1000),
        _ALWAYS,
    ),
    "digits-back-image": Spec(
        "nft_keras.data.sources.toy:digits_back_image",
        "scikit-learn's handwritten digits over patches of its sample photographs",
        (28, 28, 1),
        10,
        (1000, 297, 500),
        _ALWAYS,
    ),
    "mnist-rot": Spec(
        "nft_keras.data.sources.larochelle:mnist_rot",
        "handwritten digits rotated by any angle",
        (28, 28, 1),
        10,
        (10000, 2000, 50000),
        _LAROCHELLE,
    ),
    "mnist-back-image": Spec(
        "nft_keras.data.sources.larochelle:mnist_back_image",
        "handwritten digits over patches of photographs",
        (28, 28, 1),
        10,
        (10000, 2000, 50000),
        _LAROCHELLE,
    ),
    "mnist-rot-back-image": Spec(
        "nft_keras.data.sources.larochelle:mnist_rot_back_image",
        "rotated handwritten digits over patches of photographs",
        (28, 28, 1),
        10,
        (10000, 2000, 50000),
        _LAROCHELLE,
    ),
    "rectangles-image": Spec(
        "nft_keras.data.sources.larochelle:rectangles_image",
        "wide or tall rectangles, patches of photographs inside and around",
        (28, 28, 1),
        2,
        (10000, 2000, 50000),
        _LAROCHELLE,
    ),
    "convex": Spec(
        "nft_keras.data.sources.larochelle:convex",
        "convex or non-convex white regions",
        (28, 28, 1),
        2,
        (6000, 2000, 50000),
        _LAROCHELLE,
    ),
    "imdb": Spec(
        "nft_keras.data.sources.text:imdb",
        "polarity of film reviews, TF-IDF features",
        (20000,),
        2,
        (20000, 5000, 25000),
        _PREPARED,
    ),
    "mnist": Spec(
        "nft_keras.data.sources.images:mnist",
        "handwritten digits as they are",
        (28, 28, 1),
        10,
        (50000, 10000, 10000),
        _PREPARED,
    ),
    "cifar10": Spec(
        "nft_keras.data.sources.images:cifar10",
        "small photographs of ten kinds of things; cifar10-n<percent> with permuted training labels",
        (32, 32, 3),
        10,
        (40000, 10000, 10000),
        _PREPARED,
    ),
    "cifar10-human": Spec(
        "nft_keras.data.sources.images:cifar10_human",
        "cifar10 with the labels that people gave, right or wrong (CIFAR-10N)",
        (32, 32, 3),
        10,
        (40000, 10000, 10000),
        _PREPARED,
    ),
    "wines": Spec(
        "nft_keras.data.sources.wines:wines",
        "wine reviews of 90 points or more against the others, sentence embeddings",
        (768,),
        2,
        (70000, 30000, 29971),
        "nft_keras.data.io.origins:wines",
    ),
    "csv": Spec(
        "nft_keras.data.sources.tables:csv_file",
        "a table of your own: numbers, categories, dates, text",
        files=("path", "train", "valid", "test"),
        check="nft_keras.data.sources.tables:check_options",
    ),
    "npz": Spec("nft_keras.data.sources.arrays:npz_file", "arrays of your own", files=("path",)),
    "image-folder": Spec(
        "nft_keras.data.sources.folders:image_folder",
        "images of your own, a folder for each class",
        files=("path", "labels"),
    ),
}
SPECS = Registry("nft_keras.datasets", Spec, _OWN)


@dataclasses.dataclass(frozen=True)
class Part:
    """One part (train, valid or test) of a data set.

    Attributes:
        x: array (n, *input_shape), float32 or uint8 images (which `scaled` divides by 255), or a
            `scipy.sparse.csr_matrix` (n, d) of float32.
        y: int32 array (n,), class indices from 0; of other tasks float32 (n, outputs), see
            `nft_keras.data.targets.Target`.
        names: array (n,), what the examples are called, as their lines or files; None: they are numbered.
        weights: float32 array (n,) of numbers >= 0, what an example's loss is multiplied by in training; None: 1.
    """

    x: "np.ndarray | scipy.sparse.csr_matrix"
    y: "np.ndarray"
    names: "np.ndarray | None" = None
    weights: "np.ndarray | None" = None

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: "slice | np.ndarray") -> "Part":
        beside = (None if of_each is None else of_each[rows] for of_each in (self.names, self.weights))
        return Part(self.x[rows], self.y[rows], *beside)


def scaled(x: Any, dtype: str = "float32") -> Any:
    """Examples as floats, pixels 0 to 255 divided by 255; `nft_keras.data.batches` does the same in TensorFlow's graph.

    Args:
        x: array of NumPy or JAX; of dtype uint8 it is taken for pixels.
        dtype: str, that of the result.
    """
    return x.astype(dtype) / 255 if x.dtype == "uint8" else x.astype(dtype)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A loaded data set.

    Attributes:
        train, valid, test: `Part`s.
        num_classes: int, how many outputs a network for it has: of classes, of labels where an example may have
            several, 1 of a quantity.
        provenance: where the examples come from, one line ("generated ...", "tensorflow-datasets ..."), and the label
            noise that they were given.
        class_names: tuple of str, one per class, or per label; the name of a quantity.
        preprocessing: what made x of the content of files, an object of `nft_keras.data.features.preprocessing`; None:
            unknown.
        task: "classification", "multi-label" or "regression", see `nft_keras.data.targets.Target`.
        unit: (mean, standard deviation) of a quantity in the training part, in whose terms y is.
    """

    train: Part
    valid: Part
    test: Part
    num_classes: int
    provenance: str
    class_names: tuple[str, ...]
    preprocessing: Any = None
    task: Task = "classification"
    unit: tuple[float, float] = (0.0, 1.0)

    @property
    def target(self) -> Target:
        """What is learnt."""
        return Target(self.task, self.class_names, *self.unit)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.x.shape[1:])


def default_data_dir() -> Path:
    """$NFT_DATA_DIR, else a folder in the user's cache directory.

    Raises:
        DataError: if neither is known.
    """
    if named := os.environ.get("NFT_DATA_DIR"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if cache.startswith("~"):
        raise DataError("no home directory to keep data sets in: set NFT_DATA_DIR, or give --data-dir")
    return Path(cache) / "nft_keras"


def find(name: str) -> Spec | None:
    """The `Spec` of a data set, or None if there is none of that name; cifar10-n<percent> has that of cifar10."""
    return SPECS.get(noise_in_name(name)[0])


def own_files(name: str, data_dir: str | os.PathLike | None = None, **options: Any) -> list[Path]:
    """The files and folders of the user's own that a data set is read from; none of any other data set.

    Args:
        name: a key of `SPECS`.
        data_dir, **options: as for `load`.
    """
    spec = find(name)
    named = [options[option] for option in (spec.files if spec else ()) if options.get(option)]
    data_dir = Path(data_dir or default_data_dir()) if named else None
    return [path for path in (data_dir / os.path.expanduser(each) for each in named) if os.path.lexists(path)]


def located(data_dir: str | os.PathLike, path: str) -> Path:
    """A `pathlib.Path` that is there.

    Args:
        data_dir: the directory that a relative `path` starts from.
        path: str.

    Raises:
        DataError: if it is not there.
    """
    relative = os.path.expanduser(path)
    path = Path(data_dir) / relative
    try:
        exists = path.exists()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not exists:
        here = "; it is in this folder: give --data-dir ." if path.name and Path(relative).exists() else ""
        raise DataError(f"no {path}; a relative path starts from the data directory (--data-dir){here}")
    return path


def check_files(name: str, data_dir: str | os.PathLike | None = None, **options: Any) -> None:
    """Refuses a data set of files of the user's own that are not there, or of options that cannot be; without Keras.

    Args:
        name: a key of `SPECS`.
        data_dir, **options: as for `load`.

    Raises:
        DataError: naming one that is missing, or the options.
    """
    spec = find(name)
    if spec and spec.check:
        defaults = {option: parameter.default for option, parameter in spec.options.items()}
        imported(spec.check)(data_dir=Path(data_dir or default_data_dir()), **{**defaults, **options})
    for option in spec.files if spec else ():
        if options.get(option) and option != "labels":  # a table that may lie in the folder of the pictures
            located(data_dir or default_data_dir(), options[option])


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    split_seed: Annotated[int, ">= 0"] = 0,
    train_size: Annotated[int | None, ">= 1"] = None,
    valid_size: Annotated[int | None, ">= 1"] = None,
    test_size: Annotated[int | None, ">= 1"] = None,
    label_noise: Annotated[float, ">= 0 and <= 1"] = 0.0,
    label_noise_parts: tuple[Literal["train", "valid", "test"], ...] = ("train",),
    **options: Any,
) -> Dataset:
    """Loads a data set of the registry.

    Args:
        name: a key of `SPECS`, or `cifar10-n<percent>`, which is cifar10 with that label noise.
        data_dir: directory that holds (or receives) the files; default `default_data_dir()`.
        split_seed: int, seed of whatever is drawn: generated examples, splits, subsets, label noise.
        train_size, valid_size, test_size: keep so many examples of a part, drawn class by class in proportion;
            left out: all.
        label_noise: float in [0, 1], the fraction of the training examples whose labels are permuted among
            themselves (Section 3.3 of Marullo et al. 2022).
        label_noise_parts: the parts that have label noise; validation and test labels stay as they are unless named.
        **options: the data set's own, see `SPECS[name].options`.

    Returns:
        A `Dataset`.

    Raises:
        DataError: for an unknown name or option, missing or damaged files, or more examples than there are.
    """
    spec = find(name)
    if spec is None:
        raise DataError(f"unknown data set {name!r}; there are {', '.join(SPECS)}{suggest(name, SPECS)}")
    in_name = noise_in_name(name)[1]
    if in_name and label_noise:
        raise DataError(f"data set {name} has a label noise of {in_name:g}, got another label_noise={label_noise!r}")
    label_noise = in_name or label_noise
    if not 0 <= label_noise <= 1:
        raise DataError(f"data set {name}: label_noise must be in [0, 1], got {label_noise:g}")
    if label_noise and not label_noise_parts:
        raise DataError(f"data set {name}: label_noise_parts should name the parts that have it, got none")
    for part in label_noise_parts:
        if part not in ("train", "valid", "test"):
            raise DataError(f"data set {name}: label_noise_parts are of train, valid, test, got {part!r}")
    for option in options:
        if option not in spec.options:
            there_are = f"{', '.join(spec.options) or 'none'}{suggest(option, spec.options)}"
            raise DataError(f"data set {name} has no option {option!r}; it has {there_are}")
    for option, parameter in spec.options.items():
        if parameter.default is inspect.Parameter.empty and option not in options:
            raise DataError(f"data set {name} needs the option {option!r}")
    try:
        dataset = spec.function(data_dir=Path(data_dir or default_data_dir()), split_seed=split_seed, **options)
    except MemoryError as error:
        raise DataError(f"data set {name}: does not fit into the memory: {error}") from error
    if not isinstance(dataset, Dataset):
        raise DataError(f"data set {name}: {spec.loader} should return a Dataset, got a {type(dataset).__name__}")
    if (dataset.train.y == dataset.train.y[:1]).all():
        what = "are of one class" if dataset.task == "classification" else "have one label"
        raise DataError(f"data set {name}: {dataset.provenance}: all examples of the training part {what}")
    sizes = {"train": train_size, "valid": valid_size, "test": test_size}
    parts = {part: _subset(name, part, getattr(dataset, part), size, split_seed) for part, size in sizes.items()}
    if label_noise:
        parts |= {part: permute_labels(parts[part], label_noise, split_seed) for part in label_noise_parts}
        of_parts = " and ".join(label_noise_parts)
        parts["provenance"] = f"{dataset.provenance}, {100 * label_noise:g} % of the {of_parts} labels permuted"
    return dataclasses.replace(dataset, **parts)


def permute_labels(part: Part, fraction: float, seed: int) -> Part:
    """Permutes the labels of a random fraction of the examples among themselves.

    Args:
        part: a `Part`.
        fraction: float in [0, 1].
        seed: int.

    Returns:
        A `Part` with the same examples in the same order.

    Raises:
        ValueError: if fraction is not in [0, 1].
    """
    import numpy as np

    if not 0 <= fraction <= 1:
        raise ValueError(f"label_noise must be in [0, 1], got {fraction!r}")
    rng = np.random.default_rng([seed, 1])
    chosen = rng.choice(len(part), round(fraction * len(part)), replace=False)
    y = part.y.copy()
    y[chosen] = y[rng.permutation(chosen)]
    return dataclasses.replace(part, y=y)


def split(part: Part, size: int, seed: int) -> tuple[Part, Part]:
    """Cuts a `Part` in two, class by class in proportion; where its labels are no classes, at random.

    Args:
        part: a `Part`.
        size: number of examples of the first of the two.
        seed: int; each of the two comes in random order.

    Returns:
        Two `Part`s, of `size` and of `len(part) - size` examples.

    Raises:
        DataError: if a class has too few examples for that.
    """
    import numpy as np
    from sklearn.model_selection import train_test_split

    classes = part.y if part.y.ndim == 1 else None
    try:
        first, second = train_test_split(np.arange(len(part)), train_size=size, random_state=seed, stratify=classes)
    except ValueError as error:
        raise DataError(f"cannot draw {size} of {len(part)} examples class by class: {error}") from error
    return part[first], part[second]


def noise_in_name(name: str) -> tuple[str, float]:
    """The data set and the label noise that a name stands for: ("cifar10", 0.2) for "cifar10-n20", else 0."""
    noisy = re.fullmatch(r"(cifar10)-n(\d{1,3})", name)
    return (noisy[1], int(noisy[2]) / 100) if noisy else (name, 0.0)


def _subset(name, which, part, size, seed):
    if size is None or size == len(part):
        return part
    if not 0 < size < len(part):
        raise DataError(f"data set {name}: {which}_size must be between 1 and {len(part)}, got {size}")
    kept = split(part, size, seed)[0]
    if kept.weights is None:
        return kept
    if not kept.weights.any():
        raise DataError(f"data set {name}: every weight of the {size} examples that {which}_size keeps is 0")
    return dataclasses.replace(kept, weights=kept.weights / kept.weights.mean())
