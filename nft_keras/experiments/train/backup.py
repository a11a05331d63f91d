"""What a trial that is not finished keeps of its last two epochs, in `backup/`; read without Keras."""

import os

from nft_keras._manifest import AGAIN, DamagedError, check, entry, seal, unseal
from nft_keras.experiments.files import remove, write_whole

STATE, BEFORE = "state.json", "before.json"
SNAPSHOT = "snapshot-"  # of a picture: no epoch is given up for one
_KEYS = {"epoch", "best_epoch", "random", "seconds"}


class Backup:
    """The folder `backup/` of a trial.

    An epoch counts from the instant at which `state.json` is replaced, whatever else was written before: it has the
    length and digest of each file that belongs to it, and its own. The epoch before stays, as `before.json`, until the
    next one is written.

    Args:
        folder: `pathlib.Path` of the trial.

    Attributes:
        folder: `pathlib.Path` of the backup.
        files: {name: `nft_keras._manifest.entry`} of what was written.
    """

    def __init__(self, folder):
        self.folder, self.files, self._last = folder / "backup", {}, {}

    def write(self, name, content):
        """Writes a file.

        Args:
            name: str.
            content: bytes or memoryview.
        """
        write_whole(self.folder / name, content)
        self.files[name] = entry(content)

    def check(self, name):
        """Looks whether a file is there, as it was written.

        Raises:
            DamagedError, OSError: if not.
        """
        check(self.folder, self.files, [name])

    def latest(self):
        """The state after the last epoch whose files are whole.

        Returns:
            The mapping that `commit` was given, with `files`, None where no epoch is finished; and the `DamagedError`
            of a later epoch, or None.

        Raises:
            DamagedError: if there was an epoch, and none is left.
            OSError: if a file cannot be read.
        """
        damage = None
        for name in (STATE, BEFORE):
            path = self.folder / name
            try:
                if os.path.lexists(path):
                    return self._whole(path), damage
            except DamagedError as error:
                damage = damage or error
            except FileNotFoundError as error:
                damage = damage or DamagedError(f"{error.filename} is gone; {AGAIN}")
        if damage:
            raise damage
        return None, None

    def take_up(self):
        """As `latest`, and makes that epoch the last one."""
        state, damage = self.latest()
        if state is not None:
            self.files = self._last = state["files"] if "files" in state else self._unlisted()
            if damage or not os.path.lexists(self.folder / STATE):
                os.replace(self.folder / BEFORE, self.folder / STATE)
        return state, damage

    def make_room(self, names):
        """Gives up the epoch before the last one, and whatever belongs neither to the last nor to the next.

        Args:
            names: files of the next epoch.
        """
        remove(self.folder / BEFORE)
        for path in self.folder.glob("*"):
            if path.name not in (STATE, *self._last, *names):
                remove(path)

    def commit(self, state, names):
        """Makes an epoch the last one.

        Args:
            state: mapping of JSON's types.
            names: the files that belong to it.
        """
        path, files = self.folder / STATE, {name: self.files[name] for name in names}

        def keep():
            if os.path.lexists(path):
                os.replace(path, self.folder / BEFORE)

        write_whole(path, seal({**state, "files": files}), keep)
        self.files = self._last = files

    def _unlisted(self):
        """What is there of an earlier version, which kept no digests."""
        there = (path for path in self.folder.glob("*") if path.name not in (STATE, BEFORE))
        return {path.name: entry(path.read_bytes()) for path in there}

    def _whole(self, path):
        state = unseal(path)
        if not _KEYS <= state.keys():
            raise DamagedError(f"{path} is damaged: it has no {sorted(_KEYS - state.keys())[0]}; {AGAIN}")
        files = state.get("files", {})
        check(self.folder, files, [name for name in files if not name.startswith(SNAPSHOT)])
        return state
