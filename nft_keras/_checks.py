"""Refusing arguments that are out of range."""

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
