"""The command `inspect-fer`. Commands import what they need when they run, so that --help comes at once."""

import os
import sys
import warnings

import typer

from inspect_fer.cli import (
    comparing,
    demo,
    explaining,
    internals,
    reproducing,
    running,
    scoring,
    showing,
    sweeping,
    tables,
    training,
)
from inspect_fer.errors import FerError

app = typer.Typer(
    name="inspect-fer",
    help="Train, explain and audit facial-expression-recognition networks.",
    epilog="Begin with: inspect-fer demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    training,
    sweeping,
    reproducing,
    explaining,
    running,
    comparing,
    scoring,
    internals,
    showing,
    tables,
    demo,
):
    group.add_to(app)


def main() -> None:
    """Run the command line: exit code 0 when done, 2 for the user's mistake (one line), 1 for a bug (traceback)."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"inspect-fer: warning: {message}", err=True)
    try:
        app()
    except FerError as problem:
        typer.echo(f"inspect-fer: {problem}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        typer.echo(f"inspect-fer: {place}{problem.strerror or problem}. Name a place that can be written.", err=True)
        sys.exit(2)
