"""Runs the notebooks beside this file and saves their outputs: python notebooks/save.py [NAME...]"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def execute(path, folder, seconds=1200, **parameters):
    """Runs a notebook with this interpreter, and the package of this checkout.

    Args:
        path: `pathlib.Path` of the notebook, which stays as it is.
        folder: where the notebook runs, and leaves its files.
        seconds: int, the most that one cell may take.
        **parameters: set in a cell after the one that is tagged "parameters".

    Returns:
        The notebook with its outputs; what TensorFlow says on standard error when it starts is left out.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell raises; the cell and its traceback are the message.
    """
    notebook = nbformat.read(path, as_version=4)
    if parameters:
        (at,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
        values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(values))
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder)}
    client = NotebookClient(
        notebook,
        timeout=seconds,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=environment)
    for cell in notebook.cells:
        if re.search(r"^(import|from) (keras|nft_keras)\b", cell.source, re.M):
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main(names):
    """Runs notebooks, by default all, each in a folder of its own that is thrown away, and saves them with outputs."""
    for path in [HERE / f"{Path(name).stem}.ipynb" for name in names] or sorted(HERE.glob("*.ipynb")):
        folder = tempfile.mkdtemp()
        try:
            nbformat.write(execute(path, folder), path)
        finally:
            shutil.rmtree(folder)
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
