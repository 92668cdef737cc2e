"""The dashboard in a real browser: a click on a cell, a face in the wall, keys, and nothing from outside."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspect_fer.runs import open_run

APP = Path(__file__).parents[2] / "app.py"
pytestmark = pytest.mark.browser


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(address, server, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):  # noqa: S310  # our own server
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail("Streamlit did not start.")


@contextmanager
def serving(place, log):
    address, home = f"http://127.0.0.1:{(port := free_port())}", place / "home"
    told = os.environ | {"INSPECT_FER_REPORTS": str(place / "reports"), "INSPECT_FER_HOME": str(home)}
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--browser.gatherUsageStats=false", *options]
    with log.open("w") as out, subprocess.Popen(command, env=told, stdout=out, stderr=out) as server:
        try:
            wait_for(address, server)
            yield address
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def address(place, tmp_path_factory):
    with serving(place, tmp_path_factory.mktemp("log") / "server.txt") as found:
        yield found


@pytest.fixture
def page(address, browser):
    """A tab that fails the test for an error on the console and for a request that leaves this machine."""
    tab, complaints = browser.new_page(viewport={"width": 1400, "height": 1000}), []
    tab.set_default_timeout(60_000)  # a busy machine is no failure
    tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    tab.on("pageerror", lambda problem: complaints.append(str(problem)))
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    tab.on("request", lambda asked: None if asked.url.startswith(own) else complaints.append(asked.url))
    tab.goto(address)
    tab.wait_for_selector("h1:has-text('small')", timeout=60_000)  # the first page imports everything
    yield tab
    tab.close()
    assert complaints == []


def open_errors(page):
    page.get_by_role("link", name="Errors").click()
    page.wait_for_selector(".face canvas")
    page.wait_for_function("document.querySelectorAll(\"path[aria-roledescription='rect mark']\").length === 49")


def test_from_a_cell_to_a_face_and_its_maps(page, place):
    from playwright.sync_api import expect

    run = open_run(place / "reports" / "small")
    names, matrix = run.prediction.class_names, run.metrics["confusion"]
    wrong = [(t, p) for t in range(7) for p in range(7) if t != p and matrix[t][p] > 1]
    true, predicted = max(wrong, key=lambda cell: matrix[cell[0]][cell[1]])
    open_errors(page)
    expect(page.locator(".face")).to_have_count(int(run.prediction.wrong.sum()))
    page.locator("path[aria-roledescription='rect mark']").nth(true * 7 + predicted).click(force=True)
    page.get_by_text(f"given as {names[true]}, predicted as {names[predicted]}").wait_for()
    faces = page.locator(".face")
    expect(faces).to_have_count(matrix[true][predicted])

    faces.nth(1).click()
    page.wait_for_selector(".face:nth-child(2)[aria-selected=true]")
    wait_until(lambda: colours(page, 1) > 20, "the map colours the grey face")
    detail = page.locator(".st-key-detail")
    name = faces.nth(1).get_attribute("aria-label").partition(":")[0]
    detail.get_by_text(name, exact=True).wait_for()
    expect(detail.get_by_alt_text("grad-cam map for")).to_have_count(2)

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector(".face:nth-child(1)[aria-selected=true]")
    wait_until(lambda: colours(page, 0) > 20, "the next face has its map")
    page.keyboard.down(" ")
    wait_until(lambda: colours(page, 0) < 20, "space shows the face without its map")
    page.keyboard.up(" ")
    wait_until(lambda: colours(page, 0) > 20, "and the map comes back")

    page.get_by_text("Show all mistakes").click()
    page.get_by_text(re.compile("^All mistakes: ")).wait_for()
    page.get_by_role("button", name="Explain this face").click()
    page.wait_for_selector("h1:has-text('Explain')")
    page.get_by_alt_text("grad-cam map for").first.wait_for()


def wait_until(true, what, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def colours(page, index):
    """Largest difference of two colour channels in a tile of the wall."""
    return (
        page.locator(".face canvas")
        .nth(index)
        .evaluate(
            """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let most = 0;
          for (let i = 0; i < data.length; i += 4) most = Math.max(most, Math.abs(data[i] - data[i + 2]));
          return most;
        }"""
        )
    )


def test_an_empty_cell_can_be_clicked(page, place):
    matrix = open_run(place / "reports" / "small").metrics["confusion"]
    empty = next(t * 7 + p for t in range(7) for p in range(7) if not matrix[t][p])
    open_errors(page)
    page.locator("path[aria-roledescription='rect mark']").nth(empty).click(force=True)
    page.get_by_text("No face of the run lies in this cell.").wait_for()


def test_the_other_pages_draw(page):
    for name in ("Explain", "Layers"):
        page.get_by_role("link", name=name).click()
        page.wait_for_selector(f"h1:has-text('{name}')")
        page.locator("[data-testid=stImage] img").first.wait_for()
        assert page.locator("[data-testid=stAlert]").count() == 0
