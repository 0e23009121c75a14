"""cnnzoo-export: one file for each verb; what is no verb is a MODEL to export."""

import typer

from ...console import run, verbs
from . import check_qdq, lower, model, sensitivity, snippet, sweep, train_aware, verify

DEFAULT = "export"

app = typer.Typer(
    cls=verbs(DEFAULT),
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="From a Keras network to a small file whose answers are proven.",
)
app.callback(no_args_is_help=True, epilog=model.EXAMPLE)(lambda: None)
app.command(DEFAULT, epilog=model.EXAMPLE)(model.export)
app.command(epilog=sensitivity.EXAMPLE)(sensitivity.sensitivity)
app.command(epilog=snippet.EXAMPLE)(snippet.snippet)
app.command(epilog=sweep.EXAMPLE)(sweep.sweep)
app.command(epilog=verify.EXAMPLE)(verify.verify)
app.command("check-qdq", epilog=check_qdq.EXAMPLE)(check_qdq.check_qdq)
app.command("lower", epilog=lower.EXAMPLE)(lower.lower)
app.command("train-aware", epilog=train_aware.EXAMPLE)(train_aware.train_aware)


def main() -> None:
    """Entry point of cnnzoo-export."""
    run(app)
