"""Of which kind a column of a table is, seen from its cells."""

import re

import numpy as np

from nft_keras._text import in_yaml
from nft_keras.data import DataError
from nft_keras.data.features.columns import A_DATE, date_format, numbers

_PAIRS = (("true", "false"), ("yes", "no"))
# What people write about numbers: separators of thousands, per cent, currencies.
_DRESS = r"[,'_\s%€$£−]"
_MOST_WORDS = 20  # different ones that are a category however few rows there are


def kind_of(table, name):
    """The kind of a column: a key of `nft_keras.data.features.columns.KINDS`, "text" excepted, which a user says.

    Args:
        table: `nft_keras.data.io.table.Table`.
        name: str.

    Raises:
        DataError: for numbers among which some cells are none, and where nearly every row has words of its own.
    """
    import pandas as pd

    cells = table.frame[name]
    if pd.api.types.is_bool_dtype(cells.dtype):
        return "boolean"
    if cells.dtype.kind in "iuf":
        return "number"
    if pd.api.types.is_datetime64_any_dtype(cells):
        return "date"
    words = cells.dropna().astype(str)
    if 0 < len(found := set(words.str.lower().unique())) <= 2 and any(found <= set(pair) for pair in _PAIRS):
        return "boolean"
    if date_format(words):
        return "date"
    if pd.to_numeric(words, errors="coerce").notna().mean() > 0.5:
        _refuse_words_among_numbers(table, name)
        return "number"
    if pd.to_numeric(words.str.replace(_DRESS, "", regex=True), errors="coerce").notna().mean() > 0.5:
        dressed = next(word for word in words if re.search(_DRESS, word))
        raise DataError(
            f"{table.path}: column {name!r} has numbers that are written as {dressed!r}: write them without signs and "
            f"separators of thousands, or say `columns: {in_yaml({name: 'category'})}`"
        )
    if (different := words.nunique()) > max(_MOST_WORDS, len(table.frame) / 2):
        like_dates = words.str.fullmatch(r"\d{1,4}[./-]\d\d?[./-]\d{1,4}(\D.*)?").mean() > 0.5
        hint = f"; {A_DATE} is read as one" if like_dates else ""
        raise DataError(
            f"{table.path}: column {name!r} has {different:,} different values in {len(table.frame):,} rows: say "
            f"`text: {in_yaml([name])}` to read its words, or `drop: {in_yaml([name])}`, or `columns: "
            f"{in_yaml({name: 'category'})}`{hint}"
        )
    return "category"


def numbers_rows(table, name):
    """Whether a column counts the rows of its table, from 0 or 1 on, as an index that was written with it does."""
    cells = table.frame[name]
    if cells.dtype.kind not in "iu" or len(cells) < 3:
        return False
    return bool((cells.to_numpy() == np.arange(len(cells)) + cells.iloc[0]).all()) and cells.iloc[0] in (0, 1)


def _refuse_words_among_numbers(table, name):
    try:
        numbers(table, name)
    except DataError as error:
        hint = f"leave a missing number empty, or say `columns: {in_yaml({name: 'category'})}`"
        raise DataError(f"{error}; {hint}") from None
