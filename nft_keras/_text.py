"""Text of files and of users as it is shown: on a terminal, in Markdown, in a spreadsheet."""

import re
import sys

# What a cell begins with that a spreadsheet computes.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"＝＋－＠")


def visible(text):
    """The text on one line; what a file's names and contents might do to a terminal is written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(map(str.strip, text.splitlines())))


def in_markdown(text):
    """The text on one line of Markdown that shows it as it is: no markup of it counts, nor HTML."""
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]>|~]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def without_formula(cell):
    """A cell of a table; text that a spreadsheet would compute is quoted by an apostrophe, as spreadsheets do."""
    if not isinstance(cell, str) or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def without_formulas(rows):
    """Rows of a table, {column: cell}, as `without_formula` has their cells."""
    return [{key: without_formula(cell) for key, cell in row.items()} for row in rows]


def in_yaml(value):
    """A list or mapping as a recipe has it on one line; names are quoted where YAML would take them for more."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf")).strip()


def say(text):
    """Prints a line on stderr, see `visible`."""
    print(visible(text), file=sys.stderr, flush=True)
