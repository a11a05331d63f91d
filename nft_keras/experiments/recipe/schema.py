"""YAML read against the signatures of what it describes: every error says file, line, key, and what is allowed."""

import dataclasses
import inspect
import math
import os
import re
import types
import typing

import yaml

from nft_keras._checks import short, shown, suggest

# PyYAML takes seconds for so many characters; our longest recipe has some 4,000.
_LONGEST = 100_000
_DEEPEST = 20
# Keras, numpy and scikit-learn take no larger seed, and nothing else that is counted in a recipe comes near it.
_LARGEST = 2**32 - 1
# Python prints no integer of more than 4,300 digits, and no recipe has a longer number than this.
_MOST_DIGITS = 1000
LONGEST_NAME = 100  # bytes, of what names a folder


class RecipeError(ValueError):
    """One line: where, which key, what is wrong, what is allowed."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; a value that is not what its tag or its looks promise is an error with a line too."""

    def construct_object(self, node, deep=False):
        kind = node.tag.rpartition(":")[2]
        if kind in ("int", "float") and len(node.value) > _MOST_DIGITS:
            what = f"a number of {len(node.value):,} characters, {_MOST_DIGITS:,} are allowed"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError) as error:
            what = f"{str(node.value)[:40]!r} is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error


class Document:
    """A YAML file as plain values that know where they stand.

    Attributes:
        values: the file's mapping.
        name: what errors call the file.
        allow_code: see below.

    Args:
        path: the file.
        allow_code: whether code that it names may be imported; None: it is not looked at.

    Raises:
        RecipeError: if it cannot be read, is no YAML mapping, or has a key twice.
    """

    def __init__(self, path, allow_code=False):
        self.name, self.allow_code = str(path), allow_code
        self._places = {(): self.name}
        self._defaults = {}
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            raise RecipeError(f"{self.name}: is no file; a recipe is read several times: save it as one")
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read(_LONGEST + 1)
            if len(text) > _LONGEST:
                raise RecipeError(f"{self.name}: has more than {_LONGEST:,} characters, no recipe is that long")
            self._refuse_traps(text)
            self._note_places(yaml.compose(text, _Loader), ())
            self.values = yaml.load(text, _Loader)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{self.name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{self.name}:{mark.line + 1}" if mark else self.name
            what = getattr(error, "problem", None) or getattr(error, "reason", None) or error
            raise RecipeError(f"{where}: not valid YAML: {what}") from None
        if not isinstance(self.values, dict):
            raise RecipeError(f"{self.name}: should be a mapping of keys, got {_kind(self.values)}")

    def error(self, key, message):
        """The `RecipeError` about a key (a tuple of its parts)."""
        candidates = [key]
        for prefix, others in self._defaults.items():
            if key[: len(prefix)] == prefix:
                candidates += [other + key[len(prefix) :] for other in others]
        known = {k: next(n for n in range(len(k), -1, -1) if k[:n] in self._places) for k in candidates}
        key = min(candidates, key=lambda k: len(k) - known[k])
        place = self._places[key[: known[key]]]
        return RecipeError(": ".join([place, *([".".join(map(str, key))] if key else []), message]))

    def look_also(self, key, *others):
        """Errors about what lies below `key` and is not in the file are about the same below one of `others`."""
        self._defaults[key] = others

    def override(self, assignment):
        """Sets one value by hand.

        Args:
            assignment: str, "training.epochs=3"; the value is YAML.

        Returns:
            The key, a tuple of its parts.
        """
        name, equals, text = assignment.partition("=")
        key = tuple(part.strip() for part in name.split("."))
        place = f"--set {short(assignment)}"
        if not equals or not all(key):
            raise RecipeError(f"{place}: should be KEY=VALUE, e.g. training.epochs=3")
        if "".join(assignment.splitlines()) != assignment:
            raise RecipeError(f"{place}: should be one line, KEY=VALUE")
        try:
            value = yaml.load(text, _Loader)
        except (yaml.YAMLError, RecursionError):
            raise RecipeError(f"{place}: {shown(text)} is not valid YAML") from None
        self._places[key] = place
        self._put(key, value)
        return key

    def forget(self, key):
        """Errors about a key are no more about where it stood in the file."""
        self._places.pop(key, None)

    def put(self, key, value, source):
        """Sets one value to what stands at another key of the file, `source`; errors about it say that place."""
        self._places[key] = next(
            self._places[source[:n]] for n in range(len(source), -1, -1) if source[:n] in self._places
        )
        self._put(key, value)

    def _put(self, key, value):
        inner = self.values
        for depth, part in enumerate(key[:-1]):
            if isinstance(inner.get(part), list) and part == "classifiers":
                inner[part] = dict.fromkeys(inner[part])
            if inner.get(part) is None:
                inner[part] = {}
            inner = inner[part]
            if not isinstance(inner, dict):
                above = ".".join(key[: depth + 1])
                raise RecipeError(f"{self._places[key]}: {above} has no keys, it is {shown(inner)}")
        inner[key[-1]] = value

    def _refuse_traps(self, text):
        # A few lines of them can stand for gigabytes, or for themselves; deep nesting takes PyYAML hours.
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                line = event.start_mark.line + 1
                raise RecipeError(f"{self.name}:{line}: nested more than {_DEEPEST} levels deep, no recipe is")
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise RecipeError(f"{self.name}:{line}: *{event.anchor}: aliases are not allowed; write the value")

    def _note_places(self, node, key):
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    line = name.start_mark.line + 1
                    raise RecipeError(f"{self.name}:{line}: a key should be a word, got a {name.id}")
                inner = (*key, name.value)
                if name.value in seen:
                    line = name.start_mark.line + 1
                    raise RecipeError(f"{self.name}:{line}: {'.'.join(inner)}: given twice; once is allowed")
                seen.add(name.value)
                self._places[inner] = f"{self.name}:{name.start_mark.line + 1}"
                self._note_places(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._places[(*key, str(i))] = f"{self.name}:{value.start_mark.line + 1}"
                self._note_places(value, (*key, str(i)))

    def read_call(self, function, value, key):
        """Arguments of a function or dataclass out of a mapping.

        Args:
            function: callable with annotated parameters; what it allows is what its annotations say: `int`, `float`,
                `str`, `bool`, `Literal`, dataclasses, `tuple[T, ...]`, `dict[str, T]` (`dict[str, A | B]`: of
                dataclasses by their `name`), `T | None`, `T | tuple[T, ...]`, `T | dict[str, T]`, and
                `Annotated[T, ">= 0 and < 1"]`.
            value: the mapping, or None for an empty one.
            key: tuple, where the mapping stands.

        Returns:
            dict of every argument, defaults filled in.
        """
        parameters = function if isinstance(function, dict) else inspect.signature(function, eval_str=True).parameters
        if value is None:
            value = {}
        self.check_keys(value, parameters, key)
        arguments = {}
        for name, parameter in parameters.items():
            if name in value:
                arguments[name] = self.read(parameter.annotation, value[name], (*key, name))
            elif parameter.default is inspect.Parameter.empty:
                raise self.error(key, f"{name} is missing")
            else:
                arguments[name] = parameter.default
        return arguments

    def read_mapping(self, value, key, of="settings"):
        """A value that should be a mapping; nothing is an empty one."""
        if value is not None and not isinstance(value, dict):
            raise self.error(key, f"should be a mapping of {of}, got {shown(value)}")
        return value or {}

    def read_names(self, value, key):
        """A mapping of names to settings; a list of names is one without settings."""
        if isinstance(value, dict):
            return value
        names = self.read(tuple[str, ...], [value] if isinstance(value, str) else value, key)
        return dict.fromkeys(names)

    def check_keys(self, value, allowed, key):
        """Refuses a value that is no mapping, or has a key that is not allowed."""
        if not isinstance(value, dict):
            raise self.error(key, f"should be a mapping of {', '.join(allowed)}, got {_kind(value)}")
        for name in value:
            if name not in allowed:
                there_are = ", ".join(allowed) or "none"
                raise self.error((*key, str(name)), f"unknown key; allowed: {there_are}{suggest(name, allowed)}")

    def read(self, annotation, value, key):
        """A value checked against a type annotation (see `read_call`)."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            inner, *clauses = arguments
            # Of a whole number its own bounds are said, and not the one that all have.
            bounded = type(value) is int and (inner is int or int in typing.get_args(inner))
            result = value if bounded else self.read(inner, value, key)
            for clause in clauses:
                for number in _numbers(result):
                    if number is not None and not _satisfies(number, clause):
                        raise self.error(key, f"must be {clause}, got {shown(number)}")
            return self.read(inner, value, key) if bounded else result
        if origin in (typing.Union, types.UnionType):
            if value is None and type(None) in arguments:
                return None
            if all(map(dataclasses.is_dataclass, arguments)):
                return self._read_named(arguments, value, key)
            others = [a for a in arguments if a is not type(None)]
            several = [a for a in others if _is(a, tuple, dict)]
            fits = several if isinstance(value, list | dict) else [a for a in others if a not in several]
            return self.read((fits or others)[0], value, key)
        if origin is typing.Literal:
            if not any(value == a and type(value) is type(a) for a in arguments):
                allowed = ", ".join(map(str, arguments))
                raise self.error(key, f"unknown value {shown(value)}; allowed: {allowed}{suggest(value, arguments)}")
            return value
        if origin is tuple:
            if not isinstance(value, list | tuple):
                raise self.error(key, f"should be a list, got {_kind(value)}")
            return tuple(self.read(arguments[0], v, (*key, str(i))) for i, v in enumerate(value))
        if origin is dict:
            if typing.get_origin(arguments[1]) in (typing.Union, types.UnionType):
                return self._read_by_name(typing.get_args(arguments[1]), value, key)
            items = self.read_mapping(value, key, of="names").items()
            return {_name(self, name, key): self.read(arguments[1], v, (*key, str(name))) for name, v in items}
        if dataclasses.is_dataclass(annotation):
            return annotation(**self.read_call(annotation, value, key))
        return self._read_scalar(annotation, value, key)

    def _read_named(self, choices, value, key):
        """One of several dataclasses, the one whose `name` the mapping gives."""
        choices = {choice.name: choice for choice in choices}
        if not isinstance(value, dict) or "name" not in value:
            raise self.error(key, f"should be a mapping with a name; names: {', '.join(choices)}")
        name = self.read(typing.Literal[tuple(choices)], value["name"], (*key, "name"))
        return self.read(choices[name], value, key)

    def _read_by_name(self, choices, value, key):
        """{name: the dataclass of that name} of a mapping of names to settings, or of a list of names."""
        choices = {choice.name: choice for choice in choices}
        if isinstance(value, list):
            value = dict.fromkeys(self.read(tuple[str, ...], value, key))
        self.check_keys(value, choices, key)
        if not value:
            raise self.error(key, f"should name at least one of {', '.join(choices)}")
        return {name: self.read(choices[name], settings, (*key, name)) for name, settings in value.items()}

    def _read_scalar(self, annotation, value, key):
        wanted = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[annotation]
        if annotation is float and type(value) is int and abs(value) < 10**300:
            return float(value)
        if type(value) is not annotation:
            raise self.error(key, f"should be {wanted}, got {_kind(value)}{_hint(annotation, value)}")
        if annotation is int and value > _LARGEST:
            raise self.error(key, f"must be <= {_LARGEST}, got {shown(value)}")
        if annotation is str and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self.error(key, f"should be text, got half a character in {shown(value)}")
        if annotation is float and not math.isfinite(value):
            raise self.error(key, f"should be a finite number, got {shown(value)}")
        return value


def names_folder(pattern, text):
    """Whether a text has the pattern, a regular expression, and is short enough to name a folder."""
    return bool(re.fullmatch(pattern, text)) and len(text.encode()) <= LONGEST_NAME


def _is(annotation, *origins):
    """Whether an annotation is one of `dict`, `tuple`, ... of something, with bounds or without."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return typing.get_origin(annotation) in origins


def _numbers(value):
    """What the bounds of an annotation are for: a number, or those of a list or a mapping."""
    return value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else (value,)


def _name(document, name, key):
    """A key of a mapping of names: a whole number is one too."""
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise document.error(key, f"should have names as keys, got {_kind(name)}{_hint(str, name)}")
    return str(name)


def _satisfies(number, clause):
    comparisons = {
        ">=": lambda a, b: a >= b,
        ">": lambda a, b: a > b,
        "<=": lambda a, b: a <= b,
        "<": lambda a, b: a < b,
    }
    return all(comparisons[op](number, float(bound)) for op, bound in (part.split() for part in clause.split(" and ")))


def _kind(value):
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), shown(value))


def _hint(annotation, value):
    if annotation is str and isinstance(value, bool):
        return "; YAML reads yes, no, on and off as true or false: put the word in quotes"
    if annotation is str and isinstance(value, int | float):
        return f"; a name that is a number stands in quotes: '{short(str(value))}'"
    if annotation in (int, float) and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        if annotation is int:
            return f"; did you mean {int(number)}?" if number.is_integer() else ""
        mantissa, _, exponent = value.lower().partition("e")
        dotted = mantissa if "." in mantissa else mantissa + ".0"
        exponent = exponent if exponent[:1] in "+-" else "+" + exponent
        return f"; YAML wants a dot and a sign in it: did you mean {dotted}e{exponent}?" if exponent.strip("+") else ""
    return ""
