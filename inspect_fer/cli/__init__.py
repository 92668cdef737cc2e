"""The command `inspect-fer`. Commands import what they need when they run, so that --help comes at once."""

import os
import sys
import warnings
from typing import Any

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

NAME = "inspect-fer"

app = typer.Typer(
    name=NAME,
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


UsageError: Any = typer.BadParameter.__base__
"""What typer raises for a command line that does not fit; it has no public name."""


def main() -> None:
    """Run the command line: exit code 0 when done, 2 for the user's mistake (one line), 1 for a bug (traceback)."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"inspect-fer: warning: {message}", err=True)
    try:
        code = app(prog_name=NAME, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except UsageError as problem:
        typer.echo(_as_help(problem) or _in_one_line(problem), err=True)
        sys.exit(problem.exit_code)
    except typer.Abort:
        typer.echo("inspect-fer: stopped, nothing more is done.", err=True)
        sys.exit(1)
    except FerError as problem:
        typer.echo(f"inspect-fer: {problem}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        typer.echo(f"inspect-fer: {place}{problem.strerror or problem}. Name a place that can be written.", err=True)
        sys.exit(2)


def _as_help(problem: Any) -> str:
    """The help that is shown where nothing at all was asked; "" elsewhere."""
    return str(problem.format_message()) if type(problem).__name__ == "NoArgsIsHelpError" else ""


def _in_one_line(problem: Any) -> str:
    """What was wrong with the command line, and where to read what is possible."""
    told = " ".join(problem.format_message().split())
    command = problem.ctx.command_path if problem.ctx else " ".join([NAME, *_command()])
    return f"inspect-fer: {told}{'' if told.endswith(('.', '?')) else '.'} See {command} --help."


def _command() -> list[str]:
    """The command of the command line, where there is one."""
    return [word for word in sys.argv[1:2] if word in {command.name for command in app.registered_commands}]
