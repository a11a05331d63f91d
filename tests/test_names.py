"""The public names: what an editor, a type checker and `dir` know of them."""

import importlib.metadata
import subprocess
import sys

import pytest

import nft_keras


def test_dir_shows_the_public_names_alone():
    assert dir(nft_keras) == sorted(nft_keras.__all__)
    assert nft_keras.__version__ == importlib.metadata.version("nft_keras")


@pytest.mark.slow
def test_a_type_checker_resolves_every_public_name(tmp_path):
    names = [name for name in nft_keras.__all__ if name != "__version__"]
    lines = ["import nft_keras", f"from nft_keras import {', '.join(names)}"]
    lines += [f"reveal_type({name})" for name in names] + ["reveal_type(nft_keras.__version__)"]
    (tmp_path / "names.py").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "names.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "0 errors" in done.stdout, done.stdout + done.stderr
    for name in names:
        assert f'Type of "{name}" is "' in done.stdout and f'Type of "{name}" is "Unknown"' not in done.stdout


@pytest.mark.parametrize(
    "started, is_ours",
    [
        (["python", "-m", "nft_keras.run", "imdb"], True),
        (["python", "-X", "dev", "-m", "nft_keras", "run"], True),
        (["python", "/somewhere/bin/nft-keras", "run"], True),
        (["python", "-m", "mine", "nft_keras"], False),
        (["python", "-m", "mine.nft_keras"], False),
        (["python", "train.py"], False),
        (["python", "-m"], False),
        (["python"], False),
    ],
)
def test_a_package_of_the_user_that_is_run_by_m_is_not_taken_for_a_command_of_ours(started, is_ours):
    assert nft_keras._is_our_command(started) == is_ours
