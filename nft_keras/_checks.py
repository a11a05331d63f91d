"""Refusing arguments that are out of range or misspelt."""

import difflib
import numbers


def number(name, value, allowed, is_allowed, convert):
    """The value, converted, if it is a real number that is allowed.

    Args:
        name, allowed: how the error calls the argument and what it says is allowed.
        value: what was given.
        is_allowed: function of the value that returns a bool.
        convert: `int` or `float`.

    Raises:
        ValueError: if it is not.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not is_allowed(value):
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return convert(value)


def whole_number(name, value, least):
    """The value as an int, if it is a whole number >= least.

    Raises:
        ValueError: if it is not.
    """
    return number(name, value, f"a whole number >= {least}", lambda n: n >= least and not n % 1, int)


def one_of(name, value, allowed):
    """The value, if it is among those allowed.

    Raises:
        ValueError: if it is not.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    return value


def suggest(word, words):
    """'; did you mean ...?' where one of the words begins with the word, or is close to it, else ''."""
    by_letters, word = {str(each).casefold(): each for each in reversed(list(words))}, str(word).casefold()
    close = [each for each in by_letters if len(word) > 1 and each.startswith(word)]
    close = difflib.get_close_matches(word, close or list(by_letters), 1, 0.0 if close else 0.6)
    return f"; did you mean {by_letters[close[0]]}?" if close else ""


def whole(config, key):
    """A count out of JSON.

    Raises:
        ValueError: if config[key] is no whole number from 1 on.
    """
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} must be a whole number >= 1, got {value!r}")
    return value


def short(text, most=80):
    """A text, cut after so many characters, for a message."""
    return text if len(text) <= most else f"{text[:most]}..."


def shown(value):
    """A value as Python writes it, cut, for a message."""
    return short(repr(value))


def listed(names):
    """The first names of a list, for a message."""
    first = [short(str(name), 40) for name in names[:5]]
    return ", ".join(first) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
