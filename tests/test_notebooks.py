"""The notebooks run from the first to the last cell; what is saved in them is whole, and what their text promises."""

import importlib.util
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from notebooks.save import HERE, execute
from tests import reviews

SMALL = {
    "two_moons": dict(EPOCHS=4, SIMPLIFICATION_EPOCHS=3, SEEDS=(0, 1)),
    "your_own_data": dict(EPOCHS=3, ETA_MAX=(1,), SIMPLIFICATION_EPOCHS=(2,), SEEDS=(0, 1)),
    "reproduce_a_cell": dict(
        SEEDS="0 1",
        CUT="dataset.num_words=20 dataset.train_size=32 dataset.valid_size=8 dataset.test_size=16 training.epochs=4 "
        "methods.ct-short.training.epochs=2 methods.nft.auxiliary.hidden=4 test_every=1",
    ),
}
# What a table has of the seeds: each of them, or how many.
SEEDS_OF_TABLE = {
    "two_moons": r'row\d_col0" class="data row\d col0" >(\d+)</td>',
    "your_own_data": r"^NFT seed (\d): test error [\d.]+ %, epoch \d+$",
    "reproduce_a_cell": r"^\[\d+/\d+\] fc-b NFT seed (\d)  test error [\d.]+ %",
}
SEEDS = {"two_moons": ["48"] * 3, "your_own_data": list("01234"), "reproduce_a_cell": list("012")}
FEW_SEEDS = {name: ["0", "1"] for name in SMALL} | {"two_moons": ["2"] * 3}
EXTRAS = {"two_moons": "nft_keras[jax] @ "}
GIF = "data:image/gif;base64,R0lGOD"
PICTURES = {
    "two_moons": [GIF, "image/png", "image/png", GIF, "image/png", "image/png"],
    "your_own_data": ["image/png"],
    "reproduce_a_cell": ["image/png"],
}


def saved(name):
    return nbformat.read(HERE / f"{name}.ipynb", as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook):
    """All that the outputs say, one after the other; of a picture the kind and where it begins."""
    parts = []
    for output in (output for cell in code(notebook) for output in cell.outputs):
        parts.append(output.get("text", ""))
        for kind, content in output.get("data", {}).items():
            parts.append(kind if kind.startswith("image/") else content)
    return "\n".join(parts)


def check_outputs(name, notebook, seeds):
    """What the text of a notebook promises: the seeds, and the pictures, in this order."""
    said = text(notebook)
    assert re.findall(SEEDS_OF_TABLE[name], said.replace("\r", ""), re.M) == seeds
    at = 0
    for picture in PICTURES[name]:
        at = said.index(picture, at) + 1
    if name == "your_own_data":
        assert said.count("the same probabilities of 169 rows") == 2


def test_there_are_the_three_notebooks():
    assert {path.stem for path in HERE.glob("*.ipynb")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_is_saved_as_it_ran_from_first_to_last_cell(name):
    notebook = saved(name)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    for output in (output for cell in code(notebook) for output in cell.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr"
    assert not re.search(r"warning|traceback", text(notebook), re.I)
    check_outputs(name, notebook, SEEDS[name])


@pytest.mark.parametrize("name", SMALL)
def test_a_saved_notebook_says_nothing_of_the_machine_that_it_ran_on_and_is_small(name):
    notebook, path = saved(name), HERE / f"{name}.ipynb"
    assert path.stat().st_size < 2e6
    assert not re.search(r"/(home|root|tmp|work|usr|opt|content|Users|var)/", path.read_text(encoding="utf-8"))
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and notebook.metadata.kernelspec.name == "python3"
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


@pytest.mark.parametrize("name", SMALL)
def test_the_first_cell_installs_from_the_repository_where_the_package_is_missing(name, monkeypatch):
    notebook, commands = saved(name), []
    install = re.sub('^REPOSITORY = ".*?"', 'REPOSITORY = ""', code(notebook)[0].source, flags=re.M)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    exec(install, {})
    assert not commands
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="set REPOSITORY to the address of its git repository"):
        exec(install, {})
    exec(install.replace('REPOSITORY = ""', 'REPOSITORY = "https://example.org/a.git"'), {})
    assert [command[1:] for command in commands] == [
        ["-m", "pip", "install", "--quiet", f"{EXTRAS.get(name, '')}git+https://example.org/a.git"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs_to_its_end(name, tmp_path, monkeypatch):
    if name == "reproduce_a_cell":
        reviews.prepare(tmp_path)
    monkeypatch.setenv("NFT_DATA_DIR", str(tmp_path))
    before = Path(HERE / f"{name}.ipynb").read_bytes()
    notebook = execute(HERE / f"{name}.ipynb", tmp_path, 300, **SMALL[name])
    on_stderr = [output.text for cell in code(notebook) for output in cell.outputs if output.get("name") == "stderr"]
    said_at_the_drop = re.compile(r"the perturbation is still .*|in \d+ of \d+ simplified epochs .*")
    assert all(map(said_at_the_drop.fullmatch, "".join(on_stderr).splitlines()))
    check_outputs(name, notebook, FEW_SEEDS[name])
    assert Path(HERE / f"{name}.ipynb").read_bytes() == before
