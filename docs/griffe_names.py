"""For mkdocstrings: nft_keras' public names, and an entry `a, b: meaning` of a docstring as one for a and one for b."""

import ast
import re

import griffe

_ENTRY = re.compile(r"^    ((?:\w+, )+\w+): (.*\n?(?: {8}.*\n?)*)", re.M)


class SharedMeaning(griffe.Extension):
    """Writes such entries out."""

    def on_object(self, *, obj, **kwargs):
        """Griffe's event: an object was read."""
        if obj.docstring:
            obj.docstring.value = _ENTRY.sub(_apart, obj.docstring.value)


class PublicNames(griffe.Extension):
    """Makes nft_keras.NAME known, which nft_keras imports from its module when it is asked for."""

    def on_package(self, *, pkg, **kwargs):
        """Griffe's event: a package was read."""
        if "_HOME" in pkg.members:
            for name, module in ast.literal_eval(str(pkg["_HOME"].value)).items():
                pkg.set_member(name, griffe.Alias(name, f"{module}.{name}"))


def _apart(entry):
    return "".join(f"    {name}: {entry[2].rstrip()}\n" for name in entry[1].split(", "))
