import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import ConvexHull

from nft_keras.data.sources import generate
from nft_keras.data.sources.photographs import ALL, SCIKIT_LEARN, grey


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_patch_is_a_piece_of_a_picture(rng):
    pictures = [grey(photograph) for photograph in SCIKIT_LEARN]
    windows = [np.lib.stride_tricks.sliding_window_view(picture, (28, 28)) for picture in pictures]
    for patch in generate.patches(3, rng, pictures, least_deviation=0.1):
        corner = [np.argwhere(window[:, :, 0, 0] == patch[0, 0]) for window in windows]
        places = [window[top, left] for window, found in zip(windows, corner, strict=True) for top, left in found]
        assert any((place == patch).all() for place in places)


def test_no_patch_is_flat_and_all_pictures_are_used(rng):
    pictures = [grey(photograph) for photograph in SCIKIT_LEARN]
    patches = generate.patches(3000, rng, pictures, least_deviation=0.2)
    assert patches.shape == (3000, 28, 28)
    assert patches.std((1, 2)).min() >= 0.2
    assert 0.2 < np.isin(patches[:, 0, 0], pictures[0]).mean() < 0.95


def test_a_background_has_the_least_deviation_and_stays_between_black_and_white(rng):
    images = generate.backgrounds(rng.integers(len(ALL), size=1000), rng)
    assert images.shape == (1000, 28, 28) and images.dtype == "float32"
    assert images.std((1, 2)).min() >= generate.LEAST_DEVIATION == 0.25
    assert images.min() == 0 and images.max() == 1


def test_what_fills_rectangles_comes_from_halved_photographs_and_may_be_nearly_flat(rng):
    pictures = [generate._picture(photograph, 0.5) for photograph in ALL]
    for picture, photograph in zip(pictures, ALL, strict=True):
        pixels = grey(photograph)
        assert picture.shape == tuple(side // 2 for side in pixels.shape)
        black, white = np.quantile(pixels, (0.01, 0.99))
        first = ((pixels[:2, :2] - black) / (white - black)).clip(0, 1)
        assert picture[0, 0] == pytest.approx(first.mean(), abs=1e-6)
    images = generate.backgrounds(rng.integers(len(ALL), size=1000), rng, 0.5, generate.LEAST_OF_RECTANGLES)
    assert generate.LEAST_OF_RECTANGLES <= images.std((1, 2)).min() < 0.1
    assert all(any((picture == image[0, 0]).any() for picture in pictures) for image in images[:20])


@pytest.mark.parametrize("draw, scale, least", [("digits", 2, 0.25), ("rectangles", 0.5, 0.05)])
def test_digits_have_enlarged_photographs_behind_them_and_rectangles_halved_ones(draw, scale, least, rng, monkeypatch):
    pictures, patches, seen = generate._picture, generate.patches, set()
    monkeypatch.setattr(generate, "_picture", lambda p, scale: seen.add(scale) or pictures(p, scale))
    monkeypatch.setattr(generate, "patches", lambda *a: seen.add(a[-1]) or patches(*a))
    if draw == "digits":
        generate.digits(np.zeros((10, 28, 28), "uint8"), rng, background=True)
    else:
        generate.rectangles_image(10, rng)
    assert seen == {scale, least}


def stripes(monkeypatch):
    """From now on a photograph's patches have stripes, of the brightness 1 - 0.01 x its index."""
    levels = {photograph: level for level, photograph in enumerate(ALL)}
    pattern = np.indices((40, 40)).sum(0) % 2
    monkeypatch.setattr(generate, "_picture", lambda p, scale: np.float32(pattern * (1 - levels[p] / 100)))


def test_every_photograph_gives_as_many_backgrounds(rng, monkeypatch):
    stripes(monkeypatch)
    x = generate.digits(np.zeros((1400, 28, 28), "uint8"), rng, background=True)
    times = np.bincount(np.rint(100 - 100 * (x / 255).max((1, 2, 3))).astype(int), minlength=len(ALL))
    assert len(times) == len(ALL) and stats.chisquare(times).pvalue > 0.01


def test_a_fifth_of_the_rectangles_and_those_by_chance_come_from_the_photograph_around_them(rng, monkeypatch):
    stripes(monkeypatch)
    x, _ = generate.rectangles_image(4000, rng)
    levels = np.rint(100 - 100 * x.astype(float) / 255)
    same = np.mean([len(np.unique(image[image < 50])) == 1 for image in levels])
    assert same == pytest.approx(0.2 + 0.8 / len(ALL), abs=0.02)


def test_the_angle_of_a_digit_is_uniform_over_the_whole_turn(rng):
    bar = np.zeros((400, 28, 28), "uint8")
    bar[:, 13:15, 14:24] = 255
    x = generate.digits(bar, rng, rotated=True)[..., 0].astype(float)
    row, column = np.mgrid[:28, :28] - 13.5
    angle = np.arctan2((x * -row).sum((1, 2)), (x * column).sum((1, 2))) / (2 * np.pi) % 1
    assert stats.kstest(angle, "uniform").pvalue > 0.01


def test_a_rotation_keeps_the_light_and_turns_counter_clockwise():
    image = np.zeros((1, 28, 28))
    image[0, 13:15, 20] = 1
    up = generate.rotate(image, np.array([np.pi / 2]))
    np.testing.assert_allclose(up[0, 7, 13:15], 1, atol=1e-6)
    aslant = generate.rotate(image, np.array([1.0]))
    assert aslant.sum() == pytest.approx(2, rel=0.1)


def test_a_digit_is_white_over_its_background(rng):
    ink = np.zeros((20, 28, 28), "uint8")
    ink[:, 10:18, 10:18] = 255
    x = generate.digits(ink, rng, background=True)
    assert x.shape == (20, 28, 28, 1) and x.dtype == "uint8"
    assert (x[:, 10:18, 10:18] == 255).all()
    around = np.where(ink[..., None] == 0, x / 255.0, np.nan)
    assert np.nanstd(around, (1, 2, 3)).min() > 0.05
    np.testing.assert_array_equal(generate.digits(ink, rng)[..., 0], ink)


def test_rectangles_are_tall_or_wide_as_labelled_and_of_the_published_sizes(rng, monkeypatch):
    light = itertools.cycle([1.0, 0.0])
    monkeypatch.setattr(generate, "backgrounds", lambda which, *_: np.full((len(which), 28, 28), next(light)))
    x, y = generate.rectangles_image(4000, rng)
    assert set(np.unique(x)) == {0, 255}
    height, width = (x > 0).any((2, 3)).sum(1), (x > 0).any((1, 3)).sum(1)
    np.testing.assert_array_equal((x > 0).sum((1, 2, 3)), height * width)
    np.testing.assert_array_equal(y, height > width)
    assert np.abs(height - width).min() == 5
    assert min(height.min(), width.min()) == 10
    assert (height * width).min() >= 0.25 * 784 and (height * width).max() <= 0.75 * 784
    assert y.mean() == pytest.approx(0.5, abs=0.03)
    assert (x > 0).any(0).all(), "no pixel is out of the rectangles' reach"


def test_a_rectangle_and_what_is_around_it_are_different_patches(rng):
    x, _ = generate.rectangles_image(50, rng)
    assert x.dtype == "uint8" and x.shape == (50, 28, 28, 1)
    assert len(np.unique(x.reshape(50, -1), axis=0)) == 50
    assert x.std((1, 2, 3)).min() > 5


def hull_pixels(mask):
    """The pixels in the convex hull of a mask, by Qhull; None where the set lies on a line."""
    points = np.argwhere(mask)
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return None
    equations = ConvexHull(points).equations
    everywhere = np.argwhere(np.ones_like(mask))
    return (everywhere @ equations[:, :2].T + equations[:, 2] <= 1e-9).all(1).reshape(mask.shape)


def test_convex_images_are_convex_and_the_others_are_not(rng):
    x, y = generate.convex(400, rng)
    assert set(np.unique(x)) == {0, 255}
    hulls = [(image[..., 0] > 0, hull_pixels(image[..., 0] > 0), label) for image, label in zip(x, y, strict=True)]
    hulls = [(mask, hull, label) for mask, hull, label in hulls if hull is not None]
    assert len(hulls) > 390
    for mask, hull, label in hulls:
        assert (mask == hull).all() == label


def test_half_of_the_images_are_convex_and_their_mean_area_is_that_of_the_others(rng):
    x, y = generate.convex(4001, rng)
    area = (x > 0).sum((1, 2, 3))
    assert y.sum() == 2000
    assert area[y == 1].mean() == pytest.approx(area[y == 0].mean(), rel=0.12)
    assert area[y == 1].min() >= 19 and area[y == 0].min() >= 10


def test_the_number_of_half_planes_is_geometric_from_zero_and_they_hold_the_centre(rng):
    assert generate.convex_sets(50, rng, stop=1.0).all()
    masks = generate.convex_sets(4000, rng, stop=0.3, least_pixels=1)
    assert masks.all((1, 2)).mean() == pytest.approx(0.3, abs=0.03)
    # The centre lies between pixels; a sliver may pass between them.
    assert masks[:, 13:15, 13:15].any((1, 2)).mean() > 0.97
    few, many = (generate.convex_sets(2000, rng, stop).mean() for stop in (0.5, 0.1))
    assert many < few < 1


def in_a_triangle(pixel, points):
    """Whether a pixel is in a triangle, or on a line or point, that three of the points make."""
    for corners in itertools.combinations_with_replacement(points, 3):
        sides = zip(corners, corners[1:] + corners[:1], strict=True)
        signs = [(b[0] - a[0]) * (pixel[1] - a[1]) - (b[1] - a[1]) * (pixel[0] - a[0]) for a, b in sides]
        box = all(min(along) <= p <= max(along) for p, along in zip(pixel, zip(*corners, strict=True), strict=True))
        if box and (min(signs) >= 0 or max(signs) <= 0):
            return True
    return False


def test_a_set_is_convex_if_it_holds_every_triangle_of_its_pixels(rng):
    masks = rng.random((150, 5, 6)) < rng.uniform(0.05, 0.5, (150, 1, 1))
    masks[:2] = False
    masks[1, 2, 3] = True
    masks[2] = np.eye(5, 6)
    for mask, convex in zip(masks, generate.is_convex(masks), strict=True):
        points = [tuple(point) for point in np.argwhere(mask)]
        assert convex == all(mask[pixel] or not in_a_triangle(pixel, points) for pixel in np.ndindex(mask.shape))


@pytest.mark.parametrize("draw", [generate.convex, generate.rectangles_image])
def test_a_seed_gives_the_same_images_and_another_one_others(draw):
    (x, y), (again, labels), (other, _) = (draw(30, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)
    assert (x != other).any()
