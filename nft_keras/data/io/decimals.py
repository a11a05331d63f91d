"""Whether a comma or a point in the numbers of a table is the decimal mark, or separates thousands.

A frame is a `pandas.DataFrame` as pandas reads a text table: columns of numbers, and of text where a cell is none. What
may be either is refused with what to say. `without` are names of columns that are no numbers whatever they hold.
"""

from nft_keras._text import in_yaml
from nft_keras.data import DataError


def decimal_comma(path, frame, without, before=None):
    """Whether most cells of a column that is no column of numbers are numbers with a comma for a point.

    Args:
        path, frame, without: see above.
        before: the decimal mark of the files of the training, of a new file that leaves it open.

    Raises:
        DataError: where such a comma may separate thousands, or numbers of another column have a point.
    """
    for name in frame.columns:
        cells = frame[name].dropna()
        if name in without or cells.dtype.kind in "biuf" or not len(cells):
            continue
        cells = cells.astype(str).str.strip()
        commas = cells[cells.str.fullmatch(r"[+-]?\d+,\d+")]
        if len(commas) and (len(commas) + cells.str.fullmatch(r"[+-]?\d+").sum()) > len(cells) / 2:
            return _is_decimal(path, frame, without, name, commas, before)
    return False


def _is_decimal(path, frame, without, name, commas, before):
    category = f"or `columns: {in_yaml({name: 'category'})}`"
    if commas.str.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}").all() and before != ",":
        raise DataError(
            f"{path}: column {name!r} has {commas.iloc[0]!r}, with a comma for the point or between thousands: say "
            f"`decimal: ','`, or write numbers without separators of thousands, {category}"
        )
    for other in frame.columns:
        numbers = frame[other].dropna()
        if other not in without and numbers.dtype.kind == "f" and len(fractions := numbers[numbers % 1 != 0]):
            raise DataError(
                f"{path}: column {name!r} has a decimal comma, {commas.iloc[0]!r}, column {other!r} a point, "
                f"{fractions.iloc[0]:g}: write one of them everywhere, {category}"
            )
    return True


def refuse_points(path, frame, lines, without):
    """Refuses a point in a number of a table with decimal commas: it may separate thousands."""
    for name in frame.columns:
        cells = frame[name]
        if name in without or cells.dtype.kind in "biuf":
            continue
        cells = cells.astype(object).map(str, na_action="ignore").astype(object).str.strip()
        points = cells.str.fullmatch(r"[+-]?\d+\.\d*").fillna(False).to_numpy(bool)
        if points.any():
            row = int(points.argmax())
            raise DataError(
                f"{path}:{lines[row]}: column {name!r} has {cells.iloc[row]!r} where numbers have a decimal comma: "
                f"write them without separators of thousands, or say `columns: {in_yaml({name: 'category'})}`"
            )


def with_points(frame, without):
    """A frame with points in the numbers of columns that have something else, too, and kept their decimal commas."""
    changed = {}
    for name in frame.columns:
        cells = frame[name]
        if name not in without and cells.dtype.kind not in "biuf":
            cells = cells.astype(object)
            commas = cells.astype(str).str.fullmatch(r"\s*[+-]?\d+,\d+\s*")
            if commas.sum() > cells.notna().sum() / 2:
                changed[name] = cells.where(~commas, cells.astype(str).str.replace(",", ".", regex=False))
    return frame.assign(**changed)


def like_thousands(frame, without, before=None):
    """Columns of numbers some of which are whole, and the others of three places at most and between 1 and 1000.

    After a training with decimal commas (`before`) none need be whole.
    """
    found = []
    for name in frame.columns:
        cells = frame[name].dropna().abs() if frame[name].dtype.kind == "f" and name not in without else []
        fractions = cells[cells % 1 != 0] if len(cells) else []
        if 0 < len(fractions) < len(cells) + (before == ",") and fractions.between(1, 1000).all():
            found += [name] if (abs(fractions * 1000 - (fractions * 1000).round()) < 1e-6).all() else []
    return found


def refuse_thousands(path, frame, names, before=None):
    """Refuses points of which every one has three digits after it in a column of `like_thousands`."""
    for name in names:
        cells = frame[name].dropna().str.strip()
        points = cells[cells.str.contains(".", regex=False)]
        if 0 < len(points) < len(cells) + (before == ",") and points.str.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}").all():
            or_say = "write the decimal comma of the training" if before else "say `decimal: '.'`"
            raise DataError(
                f"{path}: column {name!r} has {points.iloc[0]!r}, with a decimal point or one between thousands: "
                f"{or_say}, or write numbers without separators of thousands"
            )
