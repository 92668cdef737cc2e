"""`report`, `dashboard`."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from inspect_fer.cli.terminal import Force
from inspect_fer.errors import ConfigError

Port = Annotated[int, typer.Option(min=1, max=65535, help="Where the dashboard listens, on 127.0.0.1.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("report", epilog="inspect-fer report reports/demo --format svg --figure roc")(report_run)
    app.command("dashboard", epilog="inspect-fer dashboard reports/demo")(dashboard)


def report_run(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help="html, pdf, png or svg (single figures), json, csv.")
    ] = "html",
    figure: Annotated[
        list[str] | None, typer.Option(help="Draw only this figure (may be repeated); with pdf, png and svg.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many faces at most.")] = 500,
    scale: Annotated[
        str,
        typer.Option(
            help="Full colour is the peak of each map (own), of its face (image), or of all (shared); "
            "of maps as fine as the image the 99th percentile counts as the peak."
        ),
    ] = "image",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to write into; by default the run's.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="KIND:PATH of the dataset, if it has moved.")] = None,
    *,
    force: Force = False,
) -> None:
    """Write a run's report: pages that open with the network off, a PDF, single figures or tables."""
    from inspect_fer.lookup import lookup
    from inspect_fer.render import SCALES
    from inspect_fer.report import FACELESS, FORMATS, Report
    from inspect_fer.runs import faces_of, open_run

    write = lookup(FORMATS, form, "format")
    lookup(SCALES, scale, "scale")
    opened = open_run(run)
    faces = None if form in FACELESS else faces_of(opened, data)
    for path in write(Report(opened, faces, limit, scale, force), out or opened.folder, figure or ()):
        typer.echo(f"{path} ({_size(path)})")


def _size(path: Path) -> str:
    """Of a file; of pages with all that they show."""
    beside = path.parent / "report"
    parts = beside.rglob("*") if path.name == "index.html" else ()
    size = path.stat().st_size + sum(part.stat().st_size for part in parts if part.is_file())
    return f"{size / 1e6:.1f} MB" if size > 1e6 else f"{size / 1e3:.0f} kB"


def dashboard(
    run: Annotated[Path | None, typer.Argument(help="The run to open first.")] = None,
    port: Port = 8501,
) -> None:
    """Browse runs in the browser, on this machine only. Ctrl-C ends it."""
    from inspect_fer.runs import open_run

    if run is not None:
        open_run(run)  # a mistake is told here, not in the browser
    serve(run, port)


def require_port(port: int) -> None:
    """Raise ConfigError when another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise ConfigError(f"Port {port} is taken. Choose another with --port {port + 1}.") from problem


def serve(run: Path | None, port: int) -> None:
    """Become the Streamlit server: this process is replaced, so that whoever ends it ends the server."""
    from inspect_fer.shipped import app_path

    require_port(port)
    app = app_path()
    where = {"INSPECT_FER_REPORTS": str(run.resolve().parent if run else Path("reports").resolve())}
    chosen = {"INSPECT_FER_RUN": run.resolve().name} if run else {}
    options = {
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": "50",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "theme.light.primaryColor": "#2a6496",
        "theme.dark.primaryColor": "#7fb2dd",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    typer.echo(f"http://127.0.0.1:{port}  (Ctrl-C ends it)")
    sys.stdout.flush()
    command = [sys.executable, "-m", "streamlit", "run", str(app), *flags]
    os.execve(sys.executable, command, {**os.environ, **where, **chosen})  # noqa: S606 (our own script)
