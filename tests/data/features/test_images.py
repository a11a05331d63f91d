"""Pictures as people have them: what training and predict see of a file is what a viewer shows."""

import numpy as np
import pytest
from PIL import Image

from nft_keras.data import DataError
from nft_keras.data.features.images import Images

ORIENTATION = 0x0112
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 6, 3), dtype="uint8")
# The array that each EXIF orientation asks to be shown, of the array in the file.
ORIENTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def seen(path, channels=3):
    return Images(6, 6, channels).transform([path])[0]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("ending", ["png", "tiff", "webp"])
def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(PIXELS).save(tmp_path / f"a.{ending}", exif=exif, lossless=True)
    np.testing.assert_array_equal(seen(tmp_path / f"a.{ending}"), ORIENTATIONS[orientation](PIXELS))


def test_a_picture_whose_exif_is_damaged_is_read_as_it_is(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=b"Exif\x00\x00no such thing")
    np.testing.assert_array_equal(seen(tmp_path / "a.png"), PIXELS)


@pytest.mark.parametrize("wide", [True, False])
def test_a_picture_of_another_aspect_is_stretched_padded_or_cropped(tmp_path, wide):
    """One of twice the length, three colours along it: a quarter, a half, a quarter."""
    pixels = np.repeat(np.array([[[255, 0, 0]], [[0, 255, 0]], [[0, 0, 255]]], "uint8"), [8, 16, 8], axis=0)
    pixels = np.repeat(pixels, 16, axis=1)
    turn = (lambda a: a.transpose(1, 0, 2)) if wide else (lambda a: a)
    Image.fromarray(turn(pixels)).save(tmp_path / "a.png")
    stretched, padded, cropped = (
        turn(Images(8, 8, 3, how).transform([tmp_path / "a.png"])[0]).astype(int) for how in ("stretch", "pad", "crop")
    )
    rows = [(255, 0, 0), (0, 255, 0), (0, 255, 0), (0, 0, 255)]
    for row, colour in zip((0, 3, 4, 7), rows, strict=True):
        assert np.abs(stretched[row] - colour).max() < 20 and np.abs(padded[row, 2:6] - colour).max() < 20
    assert (padded[:, :2] == 0).all() and (padded[:, 6:] == 0).all()
    assert np.abs(cropped[1:7] - (0, 255, 0)).max() < 40 and (cropped[..., 1] > 200).all()


def test_one_of_a_far_longer_shape_is_padded_too(tmp_path):
    Image.new("RGB", (2000, 1), "white").save(tmp_path / "a.png")
    assert Images(8, 8, 3, "pad").transform([tmp_path / "a.png"]).max() == 255


def test_what_says_nothing_of_resize_is_from_before_there_was_one():
    config = {"height": 4, "width": 5, "channels": 1}
    assert Images.from_config(config) == Images(4, 5, 1, "stretch")
    with pytest.raises(ValueError, match="resize must be one of .*, got 'zoom'"):
        Images.from_config(config | {"resize": "zoom"})


def transparent(mode):
    """A picture in a mode, and the part of it that is opaque: colours under the rest are hidden."""
    alpha = np.zeros((6, 6), "uint8")
    alpha[:3] = 255
    image = Image.fromarray(np.dstack([PIXELS, alpha]))
    if mode == "LA":
        return image.convert("LA"), alpha
    if mode == "P":
        indexed = Image.fromarray(np.where(alpha, 1, 0).astype("uint8"))
        indexed.putpalette([0, 0, 0, 7, 8, 9])
        indexed.info["transparency"] = 0
        return indexed, alpha
    return image, alpha


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_whatever_colours_are_hidden_there(tmp_path, capsys, mode, channels):
    image, alpha = transparent(mode)
    image.save(tmp_path / "a.png", **({"transparency": 0} if mode == "P" else {}))
    pixels = seen(tmp_path / "a.png", channels)
    opaque = np.asarray(image.convert("RGB").convert("L" if channels == 1 else "RGB")).reshape(6, 6, channels)
    np.testing.assert_array_equal(pixels[:3], opaque[:3])
    assert (pixels[3:] == 255).all()
    assert capsys.readouterr().err == "1 picture has transparency, laid over white\n"


def test_half_transparent_pixels_are_half_white_and_an_opaque_alpha_says_nothing(tmp_path, capsys):
    for name, alpha in (("half", 51), ("opaque", 255)):
        Image.new("RGBA", (6, 6), (100, 0, 255, alpha)).save(tmp_path / f"{name}.png")
    both = Images(6, 6, 3).transform([tmp_path / "half.png", tmp_path / "opaque.png"], tmp_path)
    np.testing.assert_allclose(both[0, 0, 0], [255 - 0.2 * 155, 255 - 0.2 * 255, 255], atol=1)
    assert both[1, 0, 0].tolist() == [100, 0, 255]
    assert capsys.readouterr().err == f"{tmp_path}: 1 picture has transparency, laid over white\n"


def deep_png(path, channels):
    """Writes a PNG of 16 bits per channel, which Pillow itself writes of grey ones only."""
    import struct
    import zlib

    kind = {2: 4, 3: 2, 4: 6}[channels]

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + RNG.bytes(2 * 6 * channels) for _ in range(6))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 6, 16, kind, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def deep_tiff(path):
    """Writes a TIFF of 3 x 16 bits per pixel."""
    import struct

    pixels = RNG.bytes(6 * 6 * 6)
    tags = [(256, 3, 6), (257, 3, 6), (258, 3, 0), (259, 3, 1), (262, 3, 2), (273, 4, 8), (277, 3, 3), (278, 3, 6)]
    tags += [(279, 4, len(pixels))]
    bits = 8 + len(pixels)
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 3 if tag == 258 else 1, bits if tag == 258 else value)
        for tag, kind, value in tags
    )
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, bits + 6) + pixels + struct.pack("<HHH", 16, 16, 16) + directory)


def deep_ppm(path):
    path.write_bytes(b"P6\n6 6\n65535\n" + RNG.bytes(6 * 6 * 6))


def deep_jpeg_2000(path):
    """A picture of 8 bits whose header says 12."""
    Image.fromarray(PIXELS).save(path, irreversible=False)
    content = path.read_bytes()
    size = content.index(b"\xff\x4f\xff\x51")
    path.write_bytes(content[: size + 42] + b"\x0b" + content[size + 43 :])


def deep_avif(path):
    """A picture of 8 bits whose header says 10."""
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"av1C") + 6] |= 0x40
    depths = content.index(b"pixi") + 9
    content[depths : depths + 3] = bytes([10, 10, 10])
    path.write_bytes(content)


DEEP = {
    "grey.png": lambda path: Image.fromarray(np.full((6, 6), 4000, "uint16")).save(path),
    "grey.tif": lambda path: Image.fromarray(np.full((6, 6), 4000, "uint16")).save(path),
    "float.tif": lambda path: Image.fromarray(np.full((6, 6), 0.5, "float32")).save(path),
    "grey-alpha.png": lambda path: deep_png(path, 2),
    "colour.png": lambda path: deep_png(path, 3),
    "colour-alpha.png": lambda path: deep_png(path, 4),
    "colour.tif": deep_tiff,
    "colour.ppm": deep_ppm,
    "colour.jp2": deep_jpeg_2000,
    "colour.avif": deep_avif,
}


@pytest.mark.parametrize("name", DEEP)
def test_a_picture_of_more_than_8_bits_per_channel_is_refused_and_not_cut(tmp_path, name):
    DEEP[name](tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.size == (6, 6)  # Pillow knows it
    with pytest.raises(DataError, match=f"{name} .*more than 8 bits per channel: save it with 8"):
        seen(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "tif", "ppm", "jp2", "avif", "webp", "bmp", "gif", "jpg"])
def test_a_picture_of_8_bits_is_read(tmp_path, ending):
    Image.new("RGB", (6, 6), (200, 100, 0)).save(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(seen(tmp_path / f"a.{ending}").mean((0, 1)), [200, 100, 0], atol=5)


def test_a_bitmap_of_16_bits_per_pixel_has_fewer_than_8_per_channel(tmp_path):
    import struct

    pixels = struct.pack("<H", 0b1111100000000000) * 36
    header = struct.pack("<IiiHHIIiiII", 40, 6, 6, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    start = 14 + len(header) + len(masks)
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    (tmp_path / "a.bmp").write_bytes(head + header + masks + pixels)
    np.testing.assert_allclose(seen(tmp_path / "a.bmp")[0, 0], [255, 0, 0], atol=1)
