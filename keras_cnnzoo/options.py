"""`--set key=value` of the command line, typed by a builder's signature."""

import ast
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from .errors import InputError, suggestion

# what the tools set themselves, or what no text can say
RESERVED = {"weights", "input_tensor", "name", "features"}


def typed_options(
    builder: Callable[..., Any], settings: Iterable[str], name: str, *, beside: Iterable[str] = ()
) -> dict[str, Any]:
    """The settings "key=value" as the builder's arguments.

    Args:
        builder: a function with typed arguments, or with defaults that show their types.
        settings: as given on the command line; a tuple is written 96,96,3.
        name: of the network, for messages.
        beside: keys that the command takes as well, for messages.

    Raises:
        InputError: no "=", an unknown key, or a value of another type.
    """
    parameters = {k: p for k, p in inspect.signature(builder).parameters.items() if k not in RESERVED}
    hints = typing.get_type_hints(builder) if hasattr(builder, "__annotations__") else {}
    options = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise InputError(f"--set {setting!r}: write key=value, e.g. --set classes=10")
        if key not in parameters:
            hint, more = suggestion(key, [*parameters, *beside]), ", ".join(sorted(beside))
            takes = ", ".join(parameters) + (f", the recipe {more}" if more else "")
            raise InputError(f"--set {setting!r}: {name} has no option {key!r}; {hint}it takes {takes}")
        hint_type = hints.get(key, parameters[key].annotation)
        if hint_type is inspect.Parameter.empty:
            hint_type = _shown_by(parameters[key].default)
        options[key] = _typed(text, hint_type, setting)
    return options


def _typed(text: str, hint: Any, setting: str) -> Any:
    try:
        value = ast.literal_eval(re.sub(r"\b(true|false|none)\b", lambda word: word[0].capitalize(), text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # what literal_eval may raise
        value = text
    for candidate in (text, value) if text in _words(hint) else (value, text):
        if fits(candidate, hint):
            return float(candidate) if hint is float else candidate
    raise InputError(f"--set {setting!r}: expected {described(hint)}")


def _words(hint: Any) -> tuple[Any, ...]:
    """The literals of a type: "none" may be one, and then does not mean None."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    united = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return tuple(word for part in typing.get_args(hint) if united for word in _words(part))


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an argument's type; an int is a float, too."""
    if hint is Any:
        return True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return isinstance(value, tuple) and all(fits(item, inner) for item in value)
    if hint is None or hint is type(None):
        return value is None
    return isinstance(value, hint) and not (hint is int and isinstance(value, bool))


def _shown_by(default: Any) -> Any:
    """The type that a default value shows; keras.applications annotates nothing."""
    return Any if default is None or default is inspect.Parameter.empty else type(default) | None


def described(hint: Any) -> str:
    """An argument's type in words."""
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(described(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "numbers like 96,96,3"
    if hint is bool:
        return "true or false"
    return "none" if hint in (None, type(None)) else getattr(hint, "__name__", str(hint))
