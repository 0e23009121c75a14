"""cnnzoo-bench: one file for each verb; what is no verb is a file to measure."""

import sys

import typer

from ...console import run, verbs
from ..child import end_in_order
from . import compare, measure, micro

DEFAULT = "measure"

app = typer.Typer(
    cls=verbs(DEFAULT),
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="How fast, how steady, how big, and is A really faster than B.",
)
app.callback(no_args_is_help=True, epilog=measure.EXAMPLE)(lambda: None)
app.command(DEFAULT, epilog=measure.EXAMPLE)(measure.measure)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.command("micro", epilog=micro.EXAMPLE)(micro.micro)


def main() -> None:
    """Entry point of cnnzoo-bench."""
    end_in_order()
    sys.argv[1:] = measure.one_flag_per_value(sys.argv[1:], "--threads")
    run(app)
