"""The report as people read it: a file in a real Chromium, which loads nothing and runs nothing but its own."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

from ..browsing import watching
from .conftest import BAD, FRAMES, Reported


def pixels(place: Locator) -> np.ndarray:
    """What a person sees of it: [60, 80], grey, whatever the scrolling did to its edges."""
    seen = cv2.imdecode(np.frombuffer(place.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(seen, (80, 60), interpolation=cv2.INTER_AREA).astype(np.float32)


@pytest.fixture
def page(browser: Browser, reported: Reported) -> Iterator[Page]:
    """The report of the take, opened as a file; at its end it has asked for nothing else and complained of nothing."""
    with watching(browser, reported.page.as_uri(), viewport={"width": 1000, "height": 900}) as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a script of the take ran: {dialog.message}"))
        page.goto(reported.page.as_uri())
        yield page


def test_thumbnails_and_pairs_are_there_without_any_other_file(page: Page) -> None:
    page.wait_for_function("[...document.images].every(image => image.complete)")
    sizes = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.naturalHeight, image.alt])")
    assert len(sizes) == 12 + 2 * 3
    assert all((width, height) == (64, 48) and alt for width, height, alt in sizes)


def test_the_slider_wipes_between_plate_and_comp(page: Page) -> None:
    pair, at = page.locator(".pair:not([hidden])"), page.locator("#at")
    at.evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")
    comp = pixels(pair)
    at.evaluate("slider => { slider.value = 100; slider.dispatchEvent(new Event('input')); }")
    plate = pixels(pair)
    assert np.abs(comp - plate).mean() > 5
    at.focus()
    page.keyboard.press("Home")
    assert float(at.input_value()) == 0.0
    assert np.abs(pixels(pair) - comp).mean() < 1, "the keyboard moves it as well"
    box = pair.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    assert 70 < float(at.input_value()) < 80


def test_another_frame_can_be_chosen(page: Page) -> None:
    page.get_by_label(str(1000 + FRAMES), exact=True).check()
    assert page.locator(".pair:not([hidden]) img.comp").get_attribute("alt") == f"Comp, frame {1000 + FRAMES}"


def test_what_people_write_is_shown_and_never_run(page: Page, reported: Reported) -> None:
    assert reported.take.provenance.consent.endswith(BAD)
    assert page.locator("#consent").inner_text() == reported.take.provenance.consent
    assert BAD in page.locator("main").inner_text(), "the strip's name"
    assert page.locator("script").count() == 1


def test_the_policy_stops_what_somebody_slips_into_the_file(browser: Browser, reported: Reported) -> None:
    slipped = reported.page.with_name("slipped.html")
    text = reported.page.read_text(encoding="utf-8")
    slipped.write_text(text.replace("</main>", "<script>document.title = 'taken'</script></main>"), encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto(slipped.as_uri())
    assert page.title() == f"SH010 {reported.folder.name} – report"
    context.close()
    slipped.unlink()


def test_joins_are_marked_where_they_are_and_listed_with_their_figures(page: Page, reported: Reported) -> None:
    seams = reported.take.seams
    assert len(seams) == 2
    assert page.locator("svg line.join").count() == len(seams)
    box = page.locator("#segments").bounding_box()
    assert box is not None
    for mark, seam in zip(page.locator("svg line.join").all(), seams, strict=True):
        place = mark.bounding_box()
        assert place is not None
        wanted = box["x"] + box["width"] * (seam.frame - 1001) / FRAMES
        assert abs(place["x"] + place["width"] / 2 - wanted) < 4
    rows = [row.inner_text().split() for row in page.locator("#seams tbody tr").all()]
    assert [row[:3] for row in rows] == [
        [str(s.frame), f"{s.colour_before:.2f}", f"{s.colour_after:.2f}"] for s in seams
    ]  # fmt: skip


def test_a_retake_lies_over_the_segments_that_it_is_seen_in(browser: Browser, retaken: Reported) -> None:
    with watching(browser, retaken.page.as_uri()) as context:
        page = context.new_page()
        page.goto(retaken.page.as_uri())
        box, places = (
            page.locator("#segments").bounding_box(),
            [p.bounding_box() for p in page.locator("rect.later").all()],
        )
        assert box and places
        starts = [(place["x"] - box["x"]) / box["width"] * FRAMES for place in places if place]
        ends = [(place["x"] + place["width"] - box["x"]) / box["width"] * FRAMES for place in places if place]
        assert abs(min(starts) - 5) < 0.1 and abs(max(ends) - 9) < 0.1, "1006 to 1009 of 1001 to 1013"


def test_every_table_says_what_its_rows_and_columns_are(page: Page) -> None:
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("tbody tr:not(:has(th[scope=row]))").count() == 0
    assert page.locator("img:not([alt])").count() == 0


def test_dark_and_light_rooms_see_other_papers_and_paper_is_light(page: Page) -> None:
    seen = {}
    for how in ("light", "dark"):
        page.emulate_media(color_scheme=how)
        seen[how] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == seen["light"]
