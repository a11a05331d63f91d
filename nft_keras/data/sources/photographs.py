"""Photographs with a free licence that installed packages carry, in grey; backgrounds are cut from them.

They are read from the packages' files, so nothing is downloaded. Left out are what is no photograph (drawings, text,
masks), what was taken through a microscope or an ophthalmoscope, and what comes without a stated free licence:
scikit-image's moon and motorcycle, PyWavelets' aero, and scikit-image's rocket, whose licence is disputed.
"""

import dataclasses
import functools
import importlib.resources

import numpy as np


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A photograph of a package.

    Attributes:
        name: str.
        distribution: str, the package as pip knows it.
        module, file: str, where in the package the file is.
        licence: str.
        source: str, who gives the licence or where the package has it from.
    """

    name: str
    distribution: str
    module: str
    file: str
    licence: str
    source: str


def _of_scikit_image(file, licence, source):
    return Photograph(file.partition(".")[0], "scikit-image", "skimage", f"data/{file}", licence, source)


SCIKIT_LEARN = tuple(
    Photograph(name, "scikit-learn", "sklearn.datasets.images", f"{name}.jpg", "CC BY 2.0", source)
    for name, source in (("china", "danielbuechele on Flickr"), ("flower", "vultilion on Flickr"))
)
ALL = (
    *SCIKIT_LEARN,
    _of_scikit_image("astronaut.png", "public domain", "NASA"),
    _of_scikit_image("brick.png", "CC0", "cc0textures.com"),
    _of_scikit_image("camera.png", "CC0", "the photographer"),
    _of_scikit_image("chelsea.png", "CC0", "the photographer"),
    _of_scikit_image("clock_motion.png", "public domain", "the photographer"),
    _of_scikit_image("coffee.png", "CC0", "the photographer"),
    _of_scikit_image("coins.png", "no known copyright restrictions", "Brooklyn Museum"),
    _of_scikit_image("grass.png", "CC0", "linolafett on DeviantArt"),
    _of_scikit_image("gravel.png", "CC0", "cc0textures.com"),
    _of_scikit_image("hubble_deep_field.jpg", "public domain", "NASA"),
    Photograph("ascent", "PyWavelets", "pywt.data", "ascent.npz", "public domain", "public-domain-image.com"),
    Photograph(
        "grace_hopper", "matplotlib", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public domain", "US Navy"
    ),
)


@functools.cache
def grey(photograph):
    """A photograph in grey.

    Args:
        photograph: `Photograph`.

    Returns:
        float32 array (height, width) in [0, 1], read-only.
    """
    pixels = _pixels(photograph)
    if pixels.ndim == 3:
        pixels = pixels @ (0.299, 0.587, 0.114)
    pixels = (pixels / 255).astype("float32")
    pixels.flags.writeable = False
    return pixels


def _pixels(photograph):
    """The uint8 array (height, width) or (height, width, 3) of a photograph."""
    from PIL import Image

    file = importlib.resources.files(photograph.module).joinpath(photograph.file)
    with importlib.resources.as_file(file) as path:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return arrays["data"]
        with Image.open(path) as image:
            return np.asarray(image if image.mode == "L" else image.convert("RGB"))
