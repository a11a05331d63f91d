"""A program: damages every file of a trial in every way, runs the same command, and keeps in the docs what came of it.

python -m tests.experiments.train.damage writes the tables of docs/explanation/reliability.md anew.
"""

import contextlib
import io
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from nft_keras import data
from nft_keras.cli import run
from nft_keras.experiments.recipe.fingerprints import Fingerprints
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports.tables import markdown
from nft_keras.experiments.train.trial import run_trial
from tests.experiments.train.broken_off import outcome
from tests.experiments.train.faults import made_quick, write_recipe

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "reliability.md"
DAMAGES = {
    "zeroed": lambda content: bytes(len(content)),
    "cut": lambda content: content[: len(content) // 2],
    "flipped": lambda content: _flipped(content, len(content) // 2),
    "gone": None,
}
METHOD = "nft"


def _flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


class Trials:
    """A finished trial and one that was broken off in its last epoch, to be damaged.

    Args:
        folder: `pathlib.Path`, for everything.
    """

    def __init__(self, folder):
        self.folder, self.recipe = folder, write_recipe(folder)
        (self.trial,) = map(Fingerprints().of, load_recipe(self.recipe, methods=[METHOD]))
        dataset = data.load(**self.trial.dataset)

        def stop(logs):
            if logs["epoch"] == 3:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            run_trial(self.trial, dataset, folder / "not finished", stop)
        run_trial(self.trial, dataset, folder / "finished", lambda logs: None)
        self.expected = outcome(folder / "finished" / self.trial.folder)

    def files(self, which):
        """The names of a trial's files, those of backup/ last."""
        root = self.folder / which / self.trial.folder
        names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return sorted(names, key=lambda name: (name.count("/"), name))

    def damaged(self, which, name, damage):
        """What becomes of a trial one of whose files is damaged: one of the words below the tables.

        Raises:
            AssertionError: if it ends well and is not what it would have been, or badly without saying why.
        """
        out = self.folder / "damaged"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.folder / which, out)
        path = out / self.trial.folder / name
        content = None if DAMAGES[damage] is None else DAMAGES[damage](path.read_bytes())
        path.unlink() if content is None else path.write_bytes(content)
        code, said = self.command(out)
        named = str(path) in said
        if code:
            assert code == 1 and named and "--fresh" in said, said
            return "told"
        left = path.read_bytes() if path.exists() else None  # which the comparison may need, and put back
        self.compare(out / self.trial.folder, lacking=left == content and name)
        if "the epoch before" in said:
            return "epoch before"
        if named:
            return "trained again" if "is gone" in said else "said"
        return "mended" if left != content else "not read" if content is not None else "not missed"

    def command(self, out, *more):
        """Runs the recipe's command; returns its exit code and what it says on stderr."""
        arguments = [str(self.recipe), "--out", str(out), "--methods", METHOD, *more, "--no-reference"]
        with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
            code = run.main(arguments)
        return code, said.getvalue()

    def compare(self, folder, lacking=None):
        """Compares a trial with the undisturbed one, but for a file that was damaged and is not read."""
        if lacking == "history.csv":
            shutil.copy(self.folder / "finished" / self.trial.folder / lacking, folder)
        (weights, *rest), (expected, *expected_rest) = outcome(folder), self.expected
        assert rest == expected_rest
        assert all((a == b).all() for a, b in zip(weights, expected, strict=True))


def tables(folder):
    """What becomes of a trial when one of its files is damaged, for each file and damage, Markdown."""
    trials, parts = Trials(folder), []
    for which in ("finished", "not finished"):
        rows = {}
        for name in trials.files(which):
            shown = re.sub(r"events\.out.*", "*", name)
            rows[shown] = [f"`{shown}`", *(trials.damaged(which, name, damage) for damage in DAMAGES)]
        parts.append(markdown([f"file of a trial that is {which}", *DAMAGES], list(rows.values())))
    return "\n\n".join(parts)


def shown(page=PAGE):
    """The tables that the page has, and the page with other ones in their place, a function of these."""
    before, tables, after = re.fullmatch(
        r"(.*<!-- damage -->\n\n)(.*?)(\n\n<!-- end of damage -->.*)", page.read_text(encoding="utf-8"), re.S
    ).groups()
    return tables, lambda anew: f"{before}{anew}{after}"


def main():
    """Writes the tables of the page anew."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        with made_quick(monkeypatch):
            anew = tables(Path(folder))
    PAGE.write_text(shown()[1](anew), encoding="utf-8")


if __name__ == "__main__":
    main()
