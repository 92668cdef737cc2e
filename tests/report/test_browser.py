"""The pages in Chromium, from disk, with the network off."""

import pytest

from inspect_fer.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture
def open_tab(browser):
    """Open a tab that is offline and remembers what went wrong."""
    contexts = []

    def open_one(width):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, offline=True))
        tab = contexts[-1].new_page()
        tab.problems, tab.requests = [], []
        tab.on("pageerror", lambda problem: tab.problems.append(str(problem)))
        tab.on("console", lambda message: tab.problems.append(message.text))
        tab.on("requestfailed", lambda request: tab.problems.append(request.url))
        tab.on("request", lambda request: tab.requests.append(request.url[:5]))
        return tab

    yield open_one
    for context in contexts:
        context.close()


def until(tab, condition):
    """Wait for a condition; the page's own policy forbids what `wait_for_function` does to ask again."""
    for _ in range(200):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(condition)


def test_filters_links_and_switches_work(open_tab, made_up, learnt, told, layers):
    tab = open_tab(1280)
    run, faces = made_up()
    tab.goto(write_report(told(learnt(run), layers=layers), faces).as_uri())

    def shown():
        return tab.locator(".face:visible").count()

    assert shown() == 30
    tab.select_option("[name=status]", "wrong")
    assert shown() == 10
    assert tab.locator(".count").inner_text() == "10 of 30 faces"
    tab.select_option("[name=given]", "fear")
    found = shown()
    assert 0 < found == tab.locator('.face.wrong[data-given="fear"]').count()
    tab.select_option("[name=method]", "layer-cam")
    assert tab.locator('.method[data-method="grad-cam"]:visible').count() == 0
    assert tab.locator('.method[data-method="layer-cam"]:visible').count() == found
    tab.locator("[name=to]").fill("1")
    assert shown() == 0
    tab.locator("[name=from]").fill("90")  # one end takes the other along
    assert tab.locator("[name=to]").input_value() == tab.locator("[name=high]").inner_text() == "90"
    tab.locator("[name=to]").fill("10")
    assert tab.locator("[name=from]").input_value() == "10"
    assert shown() == 0
    assert tab.locator(".none").is_visible()
    tab.locator(".thumb").first.click()  # leads to a face that the filters hide
    until(tab, "document.querySelector('.count').textContent.startsWith('30')")
    first = tab.locator(".gallery").first.locator(".face").first.get_attribute("id")
    tab.select_option("[name=order]", "up")
    assert tab.locator(".gallery").first.locator(".face").last.get_attribute("id") == first
    for by, count in (("column", 49), ("count", 49), ("faces", 14), ("row", 49)):
        tab.locator(f'.switch [data-by="{by}"]').click()
        assert tab.locator(f".by-{by}:visible").count() == count
    tab.locator('.matrix a[data-given="anger"][data-predicted="disgust"]').click()
    assert tab.url.endswith("report/cell-0-1.html")
    assert shown() == 2
    assert tab.locator("h1").inner_text() == "anger answered disgust"
    tab.locator("[name=from]").fill("100")
    assert shown() == 0
    tab.get_by_role("link", name="disgust", exact=True).click()
    assert tab.url.endswith("report/class-1.html")
    tab.select_option("[name=status]", "right")
    assert shown() == tab.locator(".face.right").count() > 0
    assert tab.evaluate("[...document.images].every((one) => !one.complete || one.naturalWidth > 0)")
    assert tab.problems == []
    assert set(tab.requests) <= {"file:", "data:"}


def test_faces_are_shown_a_few_at_a_time(open_tab, made_up):
    tab = open_tab(1280)
    run, faces = made_up(n=240)
    tab.goto(write_report(run, faces).as_uri())
    right = tab.locator(".group").nth(1)
    assert right.locator(".face:visible").count() == 24
    assert tab.locator(".count").inner_text() == "240 of 240 faces"
    more = right.locator(".more")
    assert more.inner_text() == "Show 60 more of 136"
    more.click()
    assert right.locator(".face:visible").count() == 84
    tab.locator("[name=opacity]").fill("10")  # closes nothing
    assert right.locator(".face:visible").count() == 84
    last = right.locator(".face").last.get_attribute("id")
    tab.evaluate("(id) => { location.hash = id }", last)  # what a link from elsewhere does
    tab.locator(f"#{last}").wait_for(state="visible")
    assert not more.is_visible()
    tab.select_option("[name=given]", "fear")
    assert right.locator(".face:visible").count() == 23
    assert not more.is_visible()
    tab.locator("button[type=reset]").click()
    tab.locator(".count", has_text="240 of 240 faces").wait_for()
    assert right.locator(".face:visible").count() == 24


def test_a_larger_limit_is_advised_where_it_would_help(open_tab, made_up):
    tab = open_tab(1280)
    tab.goto(write_report(*made_up(n=60), limit=3).as_uri())
    for status, given, predicted, helps in (
        ("wrong", "disgust", "disgust", False),
        ("right", "disgust", "disgust", True),
        ("wrong", "anger", "surprise", False),
    ):
        tab.locator("button[type=reset]").click()
        tab.locator(".count", has_text="3 of 3 faces").wait_for()
        tab.select_option("[name=status]", status)
        tab.select_option("[name=given]", given)
        tab.select_option("[name=predicted]", predicted)
        assert tab.locator(".none").is_visible()
        assert tab.locator(".left").is_visible() == helps


def test_pages_fit_a_telephone(open_tab, made_up, learnt, told, layers):
    run, faces = made_up()
    index = write_report(told(learnt(run), layers=layers), faces)
    tab = open_tab(400)
    for page in (index, index.parent / "report" / "class-1.html", index.parent / "report" / "cell-0-1.html"):
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert tab.locator(".face:visible").count() > 1


def test_nothing_is_cut_on_a_telephone(open_tab, made_up):
    """The table of classes loses a column rather than half of one; what scrolls has a shadow at its edge."""
    tab = open_tab(420)
    tab.goto(write_report(*made_up()).as_uri())
    assert tab.locator("#classes .scroll").evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
    assert tab.locator("#classes .spare:visible").count() == 0
    assert (
        tab.locator(".scroll").first.evaluate("(box) => getComputedStyle(box).backgroundAttachment").count("local") == 2
    )


def test_the_filters_stand_in_rows(open_tab, made_up):
    tab = open_tab(1400)
    tab.goto(write_report(*made_up()).as_uri())
    tops = [box["y"] for box in (label.bounding_box() for label in tab.locator(".filters label").all())]
    assert len(set(tops)) == 2
    assert tops == sorted(tops)
    assert tops.count(tops[-1]) >= 2
    for number in (0, 3):  # words stand as high over a slider as over a list
        assert tab.locator(".filters label").nth(number).locator("select, input").bounding_box()["height"] > 30


def test_charts_have_no_bright_border_in_the_dark_and_are_of_one_height(open_tab, made_up):
    tab = open_tab(1400)
    tab.emulate_media(color_scheme="dark")
    tab.goto(write_report(*made_up()).as_uri())
    plates = tab.locator("#curves .plate")
    assert plates.first.evaluate("(plate) => getComputedStyle(plate).borderTopColor").endswith(", 0)")
    heights = [plate.bounding_box()["height"] for plate in plates.all()]
    assert len(heights) == 3
    assert max(heights) - min(heights) < 1


def test_a_tile_shows_its_own_map_and_nothing_of_its_neighbour(open_tab, made_up):
    """A map all for lies beside one all against: every pixel of its box is the colour of the first."""
    run, faces = made_up(n=1)
    run.explanations["grad-cam"].maps[:] = 1
    run.explanations["layer-cam"].maps[:] = -1
    tab = open_tab(1280)
    tab.goto(write_report(run, faces).as_uri())
    tab.locator("[name=opacity]").fill("100")
    for method, red in (("grad-cam", True), ("layer-cam", False)):
        box = tab.locator(f'.face .method[data-method="{method}"] .tile').first
        box.evaluate("(tile) => { tile.style.borderRadius = 0; tile.style.backgroundImage = 'none' }")
        box.scroll_into_view_if_needed()
        until(tab, "[...document.querySelectorAll('.face .map')].every((one) => one.complete)")
        assert colours(box.screenshot(), red=red) == 1.0
    assert tab.problems == []


def colours(png, *, red):
    """Share of the pixels that are more red than blue, or the other way round."""
    from io import BytesIO

    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)[1:-1, 1:-1]
    return float(((pixels[..., 0] > pixels[..., 2]) == red).mean())
