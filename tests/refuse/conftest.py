import collections
import contextlib
import io
import os

import pytest

from nft_keras.cli import run

COUNTS = collections.Counter()


@pytest.fixture(scope="session", autouse=True)
def counted():
    """Says at the end what was refused, one line."""
    yield
    print(f"\nrefused: {COUNTS['recipes']} recipes, {COUNTS['data files']} data files")


def command(arguments, kind, main=run.main):
    """Runs a command line, that of `nft_keras.run` unless told otherwise, in this process.

    Returns:
        The exit code, what it printed, and its lines on stderr; 2 is counted as a refusal of that kind.
    """
    # A real stream: what cannot be printed as UTF-8 fails as it would on a terminal.
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", mode) for mode in ("strict", "backslashreplace"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
        out.flush(), err.flush()
    COUNTS[kind] += code == 2
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode().splitlines()


def tree(folder):
    """{path: what tells that it was written to} of all there is below a folder; symbolic links are not followed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            stat = os.lstat(path)
            found[path] = () if name in folders else (stat.st_size, stat.st_mtime_ns)
    return found
