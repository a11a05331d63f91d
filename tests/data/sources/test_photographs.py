import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from nft_keras.data.sources import photographs

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("photograph", photographs.ALL, ids=lambda photograph: photograph.name)
def test_a_photograph_is_grey_between_black_and_white_and_holds_many_patches(photograph):
    pixels = photographs.grey(photograph)
    assert pixels.dtype == "float32" and pixels.ndim == 2
    assert min(pixels.shape) >= 300
    assert 0 <= pixels.min() < pixels.max() <= 1


def test_there_are_fourteen_different_photographs():
    assert len({photograph.name for photograph in photographs.ALL}) == len(photographs.ALL) == 14


def test_scikit_learns_are_its_sample_images():
    for photograph, image in zip(photographs.SCIKIT_LEARN, load_sample_images().images, strict=True):
        expected = image @ (0.299, 0.587, 0.114) / 255
        np.testing.assert_allclose(photographs.grey(photograph), expected, atol=1e-6)


def test_the_documentation_gives_every_photograph_its_package_licence_and_source():
    page = (ROOT / "docs" / "explanation" / "generated-images.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    for photograph in photographs.ALL:
        assert photograph.licence and photograph.source
        assert [photograph.name, photograph.distribution, photograph.licence, photograph.source] in rows


def test_every_package_that_a_photograph_is_read_from_is_declared():
    required = (ROOT / "setup.cfg").read_text(encoding="utf-8").partition("install_requires")[2].partition("\n[")[0]
    for photograph in photographs.ALL:
        assert f"\n    {photograph.distribution}>=" in required


def test_the_packages_that_are_there_for_photographs_are_imported_only_to_read_one():
    code = "import sys, json, nft_keras.data.sources.larochelle; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    modules = json.loads(out.splitlines()[-1])
    assert not {"skimage", "pywt"} & set(modules)
