"""Where data sets would come from now, for `python -m nft_keras data list`: one line each, nothing is loaded."""

WINES = "winemag-data-130k-v2.csv"
_BUILDERS = {"imdb": "imdb_reviews", "mnist": "mnist", "cifar10": "cifar10", "cifar10-human": "cifar10_n"}
# Files that tensorflow-datasets wants but does not download: {builder: (from where, names)}.
_BY_HAND = {
    "cifar10_n": (
        "github.com/UCSC-REAL/cifar-10-100n",
        ("CIFAR-10_human_annotations.csv", "image_order_c10.npy", "side_info_cifar10N.csv"),
    )
}


def always(name, data_dir):
    """A set that scikit-learn brings along."""
    return "scikit-learn, always there"


def prepared(name, data_dir):
    """A set that tensorflow-datasets downloads and prepares.

    Args:
        name: a name in `nft_keras.data.SPECS`.
        data_dir: `pathlib.Path`.

    Returns:
        str.
    """
    folder = data_dir / _BUILDERS[name]
    if any(folder.glob("**/dataset_info.json")):
        return f"prepared, {folder}"
    return by_hand(_BUILDERS[name], data_dir) or "download by tensorflow-datasets"


def by_hand(builder, data_dir):
    """What the user has to put where before tensorflow-datasets can prepare a set; "" if nothing is missing.

    Args:
        builder: name in tensorflow-datasets.
        data_dir: `pathlib.Path`.

    Returns:
        str.
    """
    source, files = _BY_HAND.get(builder, ("", ()))
    folder = data_dir / "downloads" / "manual"
    missing = [file for file in files if not (folder / file).exists()]
    return f"{source} (see docs/reference/data-sets.md): put {', '.join(missing)} into {folder}" if missing else ""


def wines(name, data_dir):
    """The wine reviews, a file of Kaggle's that nobody may download without an account."""
    file = data_dir / WINES
    return f"{file}" if file.exists() else f"Kaggle (zynicide/wine-reviews): put {file.name} into {data_dir}"
