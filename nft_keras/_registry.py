"""Names and what they stand for: ours, and what installed packages add by entry points."""

import functools
import importlib
import importlib.metadata
from collections.abc import MutableMapping


class RegistrationError(ValueError):
    """An entry point that cannot be used; the message says which, of which package, and why."""


class Registry(MutableMapping):
    """{name: entry} of ours, then of every installed package that declares entry points of a group.

    What a package declares is imported when it is asked for, so that a package that is broken does not stand in the way
    of the others. `registry[name] = entry` adds one for this process alone.

    Args:
        group: str, the group of entry points, such as "nft_keras.datasets".
        kind: class of the entries.
        own: {name: entry}, ours.

    Raises:
        RegistrationError: from `registry[name]`, if the entry point cannot be imported, is no `kind`, or has a name
            that another package or we use already.
    """

    def __init__(self, group, kind, own):
        self._group, self._kind, self._own = group, kind, dict(own)

    @functools.cached_property
    def _declared(self):
        points = {}
        for point in importlib.metadata.entry_points(group=self._group):
            points.setdefault(point.name, []).append(point)
        return points

    def __getitem__(self, name):
        points = self._declared.get(name, [])
        if len(points) > 1 or (points and name in self._own):
            packages = ["nft_keras"] * (name in self._own) + [point.dist.name for point in points]
            both = " and ".join(packages)
            raise RegistrationError(f"{name!r} in {self._group} is declared by {both}; rename one, or uninstall it")
        return self._loaded(points[0]) if points else self._own[name]

    def _loaded(self, point):
        where = f"{point.name!r} in {self._group}, {point.value} of {point.dist.name}"
        try:
            entry = point.load()
        except Exception as error:  # importing somebody's module may raise anything
            raise RegistrationError(f"{where}: cannot be imported: {type(error).__name__}: {error}") from error
        if not isinstance(entry, self._kind):
            raise RegistrationError(f"{where}: should be a {self._kind.__name__}, got a {type(entry).__name__}")
        return entry

    @property
    def own(self):
        """The names of ours."""
        return tuple(self._own)

    def ordered(self, names):
        """The names in the order of the registry, those that are not in it (any more) last."""
        names = dict.fromkeys(names)
        return [*(name for name in self if name in names), *(name for name in names if name not in self)]

    def __setitem__(self, name, entry):
        self._own[name] = entry

    def __delitem__(self, name):
        del self._own[name]

    def __contains__(self, name):
        return name in self._own or name in self._declared

    def __iter__(self):
        return iter([*self._own, *(name for name in self._declared if name not in self._own)])

    def __len__(self):
        return len(list(iter(self)))


def imported(path):
    """What "module:name" is the path of; a function is that of itself.

    Raises:
        RegistrationError: if there is nothing of that name, or the module cannot be imported.
    """
    if callable(path):
        return path
    try:
        module, name = path.split(":")
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # importing somebody's module may raise anything
        what = f"{type(error).__name__}: {error}"
        raise RegistrationError(f"{path!r}, which should be module:name, cannot be imported: {what}") from error
