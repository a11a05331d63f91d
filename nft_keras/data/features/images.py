"""What makes arrays of image files, see `preprocessing`."""

import contextlib
import dataclasses
import logging
import math
import os
import re
import threading
import warnings
from pathlib import Path

import numpy as np

from nft_keras._checks import one_of, whole
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.io.fingerprint import hidden

# Pillow's decoders of photographs; others start programs (EPS) or are of no use here.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Endings of pictures that Pillow does not read, beside those that it knows.
_OTHER_ENDINGS = frozenset((".heic", ".heif", ".jxl", ".svg", ".raw", ".dng", ".cr2", ".nef", ".arw", ".dcm"))
# Images of more pixels are decoded one after the other: all threads at once would take gigabytes.
_LARGE_IMAGE = 1 << 24
RESIZE = ("stretch", "pad", "crop")
# What begins a file with more than 8 bits per channel, where Pillow does not say so: in the box of an AV1 stream, and
# the size of the first component of a JPEG 2000 stream.
_DEEP = {"AVIF": rb"av1C.{2}[\x40-\x7f\xc0-\xff]", "JPEG2000": rb"\xff\x4f\xff\x51.{38}[\x08-\x7f\x88-\xff]"}


@dataclasses.dataclass(frozen=True)
class Images:
    """Image files as bytes, which `nft_keras.data.batches` divides by 255.

    Attributes:
        height, width: in pixels; every image is resized to them, bilinearly.
        channels: 3 for colours, 1 for grey.
        resize: what becomes of an image of another aspect: "stretch" distorts it, "pad" puts black bands at two of its
            sides, "crop" cuts off what is too much at them.
    """

    height: int
    width: int
    channels: int
    resize: str = "stretch"

    @property
    def input_shape(self):
        """Shape of one example."""
        return self.height, self.width, self.channels

    def read(self, path):
        """The images of a file or a folder and the folders in it; see `only_pictures` for what is left out.

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
        files = only_pictures(files_below(path), path)
        if not files:
            raise DataError(f"{path} holds no images")
        return [readable(file.relative_to(path)) for file in files], files

    def transform(self, files, root=None):
        """Reads images: PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM, with at most 8 bits per channel.

        They are as a viewer shows them: turned as their EXIF orientation says, and what is transparent laid over white,
        which is said on stderr.

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
            results = list(pool.map(lambda i: self._read_image(files[i], images[i], alone), range(len(files))))
        wrong = [(file, what) for file, (what, _) in zip(files, results, strict=True) if what]
        where = f"{root}: " if root else ""
        if wrong:
            named = ", ".join(f"{file.relative_to(root) if root else file} ({what})" for file, what in wrong)
            if len(files) == 1:
                raise DataError(f"{where}cannot be read as an image: {named}")
            raise DataError(f"{where}{len(wrong)} of {len(files)} files cannot be read as images: {named}")
        if transparent := sum(transparent for _, transparent in results):
            have = "picture has" if transparent == 1 else "pictures have"
            say(f"{where}{transparent} {have} transparency, laid over white")
        return images

    def layers(self, any_size=True):
        """Keras layers that prepare pixels 0 to 255 (batch, height, width, channels), and the shape of their input.

        They resize as Pillow does but for its rounding to whole numbers; not any_size, or padded or cropped: images of
        the size.
        """
        from keras import layers

        any_size = any_size and self.resize == "stretch"
        resized = [layers.Resizing(self.height, self.width, antialias=True)] if any_size else []
        shape = (None, None, self.channels) if any_size else self.input_shape
        return [*resized, layers.Rescaling(1 / 255)], shape

    to_config = dataclasses.asdict

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        sizes = {name: whole(config, name) for name in ("height", "width", "channels")}
        return cls(**sizes, resize=one_of("resize", config.get("resize", "stretch"), RESIZE))

    def _read_image(self, file, out, alone):
        """Reads an image into an array (height, width, channels).

        `alone` is the lock of those who decode a large one.

        Returns:
            What is wrong with it, None if nothing is; and whether it has transparency.
        """
        from PIL import Image

        try:
            if file.exists() and not (file.is_file() or file.is_dir()):
                return "not a file", False
            with Image.open(file, formats=_FORMATS) as image:
                if _is_deep(image, file):
                    return f"{image.mode}, more than 8 bits per channel: save it with 8", False
                with alone if math.prod(image.size) > _LARGE_IMAGE else contextlib.nullcontext():
                    image, transparent = _over_white(_upright(image))
                    image = self._resized(image.convert("L" if self.channels == 1 else "RGB"))
        except Image.UnidentifiedImageError:
            return "not an image", False
        except Exception as error:  # of a damaged file Pillow's decoders raise whatever they stumble over
            return getattr(error, "strerror", None) or str(error) or type(error).__name__, False
        out[:] = np.asarray(image).reshape(out.shape)
        return None, transparent

    def _resized(self, image):
        from PIL import Image, ImageOps

        size, how = (self.width, self.height), Image.Resampling.BILINEAR
        if self.resize == "stretch":
            return image.resize(size, how)
        if self.resize == "crop":
            return ImageOps.fit(image, size, how)
        scale = min(whole / part for whole, part in zip(size, image.size, strict=True))
        inner = image.resize([max(1, round(scale * part)) for part in image.size], how)
        padded = Image.new(image.mode, size)
        padded.paste(inner, [(whole - part) // 2 for whole, part in zip(size, inner.size, strict=True)])
        return padded


def readable(path):
    """What a relative path is called: with a mark for what of it is no UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def files_below(root):
    """Sorted files in a folder and the folders in it, links followed, without hidden ones; a list of `pathlib.Path`."""
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        # A link to a folder above would be followed without end.
        inside = {name: os.path.realpath(os.path.join(folder, name)) for name in folders if not hidden(name)}
        folders[:] = [name for name, real in inside.items() if real not in seen]
        seen.update(inside.values())
        found += [Path(folder, name) for name in files if not hidden(name)]
    return sorted(file for file in found if file.is_file())


def only_pictures(files, root):
    """Those of some files that are pictures, or should be by their ending.

    The others, such as a readme, are left out, which is said on stderr.

    Args:
        files: list of `pathlib.Path`.
        root: `pathlib.Path` of the folder that all of them are in.

    Returns:
        list of `pathlib.Path`.
    """
    from PIL import Image

    endings = _OTHER_ENDINGS.union(Image.registered_extensions())
    beside = {file for file in files if file.suffix.lower() not in endings and not _may_be_image(file)}
    leave_out(beside, root, "no picture")
    return [file for file in files if file not in beside]


def leave_out(files, root, why):
    """Says on stderr which files are left out, if any are."""
    if files:
        names = sorted(str(file.relative_to(root)) for file in files)
        more = ", ..." if len(names) > 5 else ""
        number = "1 file is" if len(names) == 1 else f"{len(names):,} files are"
        say(f"{root}: {number} left out, {why}: {', '.join(names[:5])}{more}")


def _may_be_image(file):
    """Whether Pillow takes a file for an image, or it cannot be told."""
    from PIL import Image

    if not file.is_file():  # to open a pipe is to wait
        return True
    try:
        with Image.open(file, formats=_FORMATS):
            return True
    except Image.UnidentifiedImageError:
        return False
    except Exception:  # the one that reads it says what is wrong
        return True


def _is_deep(image, file):
    """Whether an image, not decoded yet, has more than 8 bits per channel; Pillow cuts most of them off unasked."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format in _DEEP:
        with open(file, "rb") as opened:
            return bool(re.search(_DEEP[image.format], opened.read(1 << 16), re.DOTALL))
    for tile in image.tile[:1]:
        how, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        return bool(re.search(";16[BLN]", str(how))) or (tile.codec_name.startswith("ppm") and rest[-1] > 255)
    return False


def _upright(image):
    """The image as its EXIF orientation says; as it is, as viewers show it, where its EXIF is damaged."""
    from PIL import ImageOps

    image.load()
    try:
        image.getexif()
    except Exception:  # of damaged EXIF Pillow raises whatever it stumbles over
        return image
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _over_white(image):
    """The image without transparency, and whether it had any."""
    from PIL import Image

    if not image.has_transparency_data:
        return image, False
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        return image, False
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image), True
