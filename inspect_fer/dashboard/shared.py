"""What the pages share: the run that is looked at, its faces, networks with their locks, and one error boundary."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from threading import Lock

import streamlit as st

from inspect_fer.errors import CheckpointError, FerError
from inspect_fer.models.checkpoint import checkpoint_paths, fingerprint, load
from inspect_fer.runs import faces_of, open_run, run_folders
from inspect_fer.schema import Classifier, Run, Samples

REPORTS, WANTED = "INSPECT_FER_REPORTS", "INSPECT_FER_RUN"
OWN = "this run's"
"""Stands for the run's own network where that is no published checkpoint."""

logger = logging.getLogger(__name__)


def plain(words: str) -> str:
    """Words that Markdown leaves as they are; what stands between backticks stays code."""
    parts = words.split("`")
    return "`".join(
        re.sub(r"([\\*_\[\]$<>#~|])", r"\\\1", part) if even % 2 == 0 else part for even, part in enumerate(parts)
    )


@contextmanager
def boundary() -> Iterator[None]:
    """Show a user's mistake as one sentence; log any other exception and say that there was one."""
    try:
        yield
    except FerError as problem:
        st.error(plain(str(problem)), icon=":material/error:")
    except Exception:
        logger.exception("A page of the dashboard failed.")
        st.error("This page failed, which is a bug in inspect_fer; its traceback stands in the terminal.")


@st.cache_data(max_entries=256, show_spinner=False)
def _digest(path: str, modified: int, size: int) -> str:  # noqa: ARG001  # a file that changes is read again
    with Path(path).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file, read again only when it has changed."""
    found = path.stat()
    return _digest(str(path), found.st_mtime_ns, found.st_size)


def reports() -> Path:
    """The folder that holds the runs."""
    return Path(os.environ.get(REPORTS) or "reports").expanduser()


def runs_by_name() -> dict[str, Path]:
    """Every run there is, the newest first; one that INSPECT_FER_RUN names by its path is among them."""
    wanted = Path(os.environ.get(WANTED, "")).expanduser()
    elsewhere = [wanted] if wanted.name and (wanted / "run.json").is_file() else []
    return {folder.name: folder for folder in [*elsewhere, *run_folders(reports())]}


def choose_run() -> None:
    """Offer the runs in the sidebar; `current_run` opens the chosen one."""
    names = list(runs_by_name())
    if names:
        wanted = Path(os.environ.get(WANTED, "")).name
        index = names.index(wanted) if wanted in names else 0
        st.sidebar.selectbox("Run", names, index=index, key="run", bind="query-params", format_func=str)


@st.cache_resource(max_entries=4, show_spinner="Opening the run")
def _opened(folder: str, content: str) -> Run:  # noqa: ARG001  # the content's hash is the key
    return open_run(Path(folder))


@st.cache_resource(max_entries=4, show_spinner="Reading the faces")
def _faces(folder: str, content: str) -> Samples:
    return faces_of(_opened(folder, content))


def key_of(run: Run) -> tuple[str, str]:
    """What a run is cached by: its folder, and the hash of its manifest."""
    return str(run.folder), digest(run.folder / "run.json")


def current_run() -> Run | None:
    """Open the run of the sidebar; None when there is none. Raises RunError when it is damaged."""
    folder = runs_by_name().get(st.session_state.get("run", ""))
    return _opened(str(folder), digest(folder / "run.json")) if folder else None


def need_run() -> Run:
    """Open the run of the sidebar; without any, say how to make one and stop the page."""
    run = current_run()
    if run is None:
        st.info(
            f"There is no run in {plain(str(reports()))} yet. `inspect-fer demo` makes one in a minute, "
            "`inspect-fer run --model NAME --data KIND:PATH --out reports/NAME` makes one of your own data.",
            icon=":material/lightbulb:",
        )
        st.stop()
    return run


def faces_in(run: Run) -> Samples:
    """The run's faces, in its order. Raises DataError where they have gone."""
    return _faces(*key_of(run))


@dataclass(frozen=True)
class Network:
    """A network that all visitors share: whoever runs it holds `lock`; `content` is the hash of its file."""

    model: Classifier
    content: str
    fingerprint: str
    lock: Lock


@st.cache_resource(max_entries=3, show_spinner="Loading the network")
def _network(content: str, _path: Path) -> Network:
    model = load(_path)
    return Network(model, content, fingerprint(model.network), Lock())


def network_files(run: Run | None) -> dict[str, str]:
    """Names of the networks that can be chosen, the run's own first, with their paths."""
    published = {name: str(path) for name, path in checkpoint_paths().items()}
    origin = str(run.manifest["model"]["origin"]) if run else ""
    known = [name for name, path in published.items() if origin in (name, path)]
    first = {known[0]: published[known[0]]} if known else {OWN: origin} if run else {}
    return first | published


def network_at(path: str) -> Network:
    """Load a network, once for all visitors. Raises CheckpointError when its file has gone or is none."""
    if not path:
        raise CheckpointError(
            "This run's network was never a file, so it cannot be loaded here. Choose a published one."
        )
    if not Path(path).is_file():
        raise CheckpointError(f"The network {path} has gone. Choose another one, or make the run again.")
    return _network(digest(Path(path)), Path(path))


def content_key(face: Samples) -> str:
    """What one face is cached by: its id, label and pixels."""
    pixels = face.pixels[:]
    words = f"{face.ids} {face.labels.tolist()} {face.class_names} {tuple(pixels.shape)}"
    return sha256(words.encode() + pixels.contiguous().numpy().tobytes()).hexdigest()
