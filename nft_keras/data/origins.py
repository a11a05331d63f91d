"""Where data sets would come from now, for `python -m nft_keras.data list`: one line each, nothing is loaded."""

WINES = "winemag-data-130k-v2.csv"
_BUILDERS = {"imdb": "imdb_reviews", "mnist": "mnist", "cifar10": "cifar10"}


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
    return "download by tensorflow-datasets"


def wines(name, data_dir):
    """The wine reviews, a file of Kaggle's that nobody may download without an account."""
    file = data_dir / WINES
    return f"{file}" if file.exists() else f"Kaggle (zynicide/wine-reviews): put {file.name} into {data_dir}"
