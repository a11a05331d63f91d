"""What makes arrays of image files, see `preprocessing`."""

import contextlib
import dataclasses
import logging
import math
import os
import threading
import warnings

import numpy as np

from nft_keras._checks import whole
from nft_keras.data import DataError

# Pillow's decoders of photographs; others start programs (EPS) or are of no use here.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Images of more pixels are decoded one after the other: all threads at once would take gigabytes.
_LARGE_IMAGE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Images:
    """Image files as bytes, which `nft_keras.data.batches` divides by 255.

    Attributes:
        height, width: in pixels; every image is resized to them, bilinearly.
        channels: 3 for colours, 1 for grey.
    """

    height: int
    width: int
    channels: int

    @property
    def input_shape(self):
        """Shape of one example."""
        return self.height, self.width, self.channels

    def read(self, path):
        """The images of a file or a folder and the folders in it; what starts with a dot is left out.

        Args:
            path: `pathlib.Path`.

        Returns:
            names: list of str, each file's path below `path`.
            files: list of `pathlib.Path`, for `transform`.

        Raises:
            DataError: if there are none.
        """
        if not path.is_dir():
            return [path.name], [path]
        names = (file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file())
        names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        if not names:
            raise DataError(f"{path} holds no images")
        return [os.fsencode(name.as_posix()).decode("utf-8", "replace") for name in names], [path / n for n in names]

    def transform(self, files, root=None):
        """Reads images: PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM, with at most 8 bits per channel.

        Args:
            files: list of `pathlib.Path`.
            root: `pathlib.Path` of a folder that all of them are in, to name them by their paths in it.

        Returns:
            uint8 array (n, height, width, channels).

        Raises:
            DataError: naming every file that cannot be read as an image.
        """
        from concurrent.futures import ThreadPoolExecutor

        from PIL import Image

        images = np.empty((len(files), *self.input_shape), "uint8")
        alone = threading.Lock()
        logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong is said below
        with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            results = list(pool.map(lambda i: _read_image(files[i], images[i], alone), range(len(files))))
        wrong = [(file, what) for file, what in zip(files, results, strict=True) if what]
        if wrong:
            named = ", ".join(f"{file.relative_to(root) if root else file} ({what})" for file, what in wrong)
            where = f"{root}: " if root else ""
            raise DataError(f"{where}{len(wrong)} of {len(files)} files cannot be read as images: {named}")
        return images

    def layers(self, any_size=True):
        """Keras layers that prepare pixels 0 to 255 (batch, height, width, channels), and the shape of their input.

        They resize as Pillow does but for its rounding to whole numbers; not any_size: images of the size.
        """
        from keras import layers

        resized = [layers.Resizing(self.height, self.width, antialias=True)] if any_size else []
        shape = (None, None, self.channels) if any_size else self.input_shape
        return [*resized, layers.Rescaling(1 / 255)], shape

    to_config = dataclasses.asdict

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        return cls(**{field.name: whole(config, field.name) for field in dataclasses.fields(cls)})


def _read_image(file, out, alone):
    """Reads an image into an array (height, width, channels); returns what is wrong with it, None if nothing is.

    `alone` is the lock of those who decode a large one.
    """
    from PIL import Image

    height, width, channels = out.shape
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            return "not a file"
        with Image.open(file, formats=_FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                return f"{image.mode}, more than 8 bits per channel"
            with alone if math.prod(image.size) > _LARGE_IMAGE else contextlib.nullcontext():
                image = image.convert("L" if channels == 1 else "RGB")
                image = image.resize((width, height), Image.Resampling.BILINEAR)
    except Image.UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # of a damaged file Pillow's decoders raise whatever they stumble over
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    out[:] = np.asarray(image).reshape(out.shape)
    return None
