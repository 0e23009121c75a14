"""A report as tables, JSON, CSV, Markdown and a page; each a function of the report alone."""

from rich.markup import escape

from ..events import CONTROL


def escaped(text: str) -> str:
    """As it stands on a terminal: no markup of rich's, and no control characters, which a terminal would obey."""
    return escape(CONTROL.sub("", text))
