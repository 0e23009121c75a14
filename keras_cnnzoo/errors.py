"""What a user did wrong, in one sentence."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: one sentence that names the value, the limits and the way out.

    The command-line tools print it without a traceback and exit with code 2.
    """


def one_line(error: BaseException) -> str:
    """What a library says in several lines."""
    return " ".join(str(error).split())


def first_line(error: BaseException) -> str:
    """Of what a library says in several lines, at most 300 characters; its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean ...? ` where a known name is near, to stand before the list of all; else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
