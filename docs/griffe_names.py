"""For mkdocstrings: an entry `a, b: meaning` of a docstring's section is one for a and one for b."""

import re

import griffe

_ENTRY = re.compile(r"^    ((?:\w+, )+\w+): (.*\n?(?: {8}.*\n?)*)", re.M)


class SharedMeaning(griffe.Extension):
    """Writes such entries out."""

    def on_object(self, *, obj, **kwargs):
        """Griffe's event: an object was read."""
        if obj.docstring:
            obj.docstring.value = _ENTRY.sub(_apart, obj.docstring.value)


def _apart(entry):
    return "".join(f"    {name}: {entry[2].rstrip()}\n" for name in entry[1].split(", "))
