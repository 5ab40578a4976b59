"""What goes wrong for visitors: the page says it in its own words, and loses nothing."""

import io
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Error, expect

from tests.browser.acting import (
    PHOTO,
    choose,
    give,
    jpeg_of,
    notice,
    second,
    slide,
    tag,
    wait_for,
    wait_for_face,
    wait_until_kept,
    without_face,
)
from tests.browser.conftest import KEPT, assert_accessible
from tests.e2e.running import patience

NOTES = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
BROKEN = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff\xe0 cut off"}
JARGON = ("align", "bytes", "fetch", "input", "request id", "HTTP")


def test_a_photo_without_a_face_is_explained_and_can_be_sent_again(page):
    sent = []
    page.on("request", lambda request: sent.append(1) if "/embed" in request.url else None)
    pick = page.locator("#welcome [data-pick]").first
    for count in (1, 2):  # the same file twice
        pick.set_input_files(without_face())
        wait_for(notice(page), "No face was found")
        assert len(sent) == count
    assert_accessible(page)
    assert not any(word in notice(page).inner_text() for word in JARGON)
    choose(page)
    expect(notice(page)).to_be_empty()


@pytest.mark.parametrize("wrong", [NOTES, BROKEN], ids=["text", "broken"])
def test_a_dropped_file_that_is_not_an_image_is_refused(page, wrong):
    for selector in ("header.top", "main"):
        assert give(page, "dragover", selector, wrong)
        assert give(page, "drop", selector, wrong)  # the browser would leave the page otherwise
        expect(notice(page)).not_to_be_empty()
        assert not any(word in notice(page).inner_text() for word in JARGON)
        page.get_by_role("button", name="Close").click()
    assert give(page, "drop", "main")
    wait_for(notice(page), "Save the picture")


def test_without_a_connection_the_page_shows_it_and_retries(page):
    choose(page)
    page.context.set_offline(True)
    slide(page, "smile", 10)
    wait_for(notice(page), "cannot be reached")
    wait_for(tag(page), "Drawn again (change not applied)")
    wait_for(page.locator("#state"), "Cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    wait_for(tag(page), "Smile +1.0")
    expect(notice(page)).to_be_empty()
    wait_for(page.locator("#state"), "Ready")


def test_a_large_photo_is_shrunk_before_it_is_sent(page):
    with Image.open(io.BytesIO(PHOTO["buffer"])) as small:
        large = np.asarray(small.resize((5000, 5000)))
    noise = np.random.default_rng(0).integers(-20, 20, large.shape[:2])[..., None]
    photo = jpeg_of(np.clip(large + noise, 0, 255).astype(np.uint8))
    assert len(photo["buffer"]) > 6e6
    with page.expect_request("**/embed") as sending:
        choose(page, photo)
    sent = int(sending.value.all_headers()["content-length"])
    assert 10_000 < sent < len(photo["buffer"]) / 2


def test_work_survives_a_reload_and_ids_that_have_expired(page):
    assert give(page, "paste", "main", PHOTO)
    wait_for_face(page)
    slide(page, "smile", 10)
    wait_for(tag(page), "Smile +1.0")
    wait_until_kept(page, "Smile +1.0")
    page.reload()
    wait_for(tag(page), "Smile +1.0")
    assert page.locator("#slide-smile").input_value() == "1"
    for seed in range(KEPT + 5):  # others push the face's id out
        answer = page.request.post("/generate", form={"seed": str(seed), "return": "code"})
        assert answer.ok
    with page.expect_response(lambda response: response.status == 404):
        slide(page, "smile", 5)
    wait_for(tag(page), "Smile +1.5")
    expect(notice(page)).to_be_empty()


def refuse_once(page, path, status, code):
    """Let the service refuse the next request of a path."""
    page.route(
        path, lambda route: route.fulfill(status=status, json={"code": code, "detail": ""}), times=1
    )


@contextmanager
def held(page, path, times=1):
    """Hold the next requests of a path back for the while."""
    routes = []
    page.route(path, lambda route: routes.append(route), times=times)
    yield
    for route in routes:
        with suppress(Error):  # the page has given it up
            route.continue_()
    assert routes
    page.wait_for_timeout(1000 * patience(2))


def test_an_undo_stops_the_picture_on_its_way(page):
    choose(page)
    for value in ("+0.5", "+1.0"):
        slide(page, "smile", 5)
        wait_for(tag(page), f"Smile {value}")
    with held(page, "**/edit", times=2):  # the preview and the picture
        slide(page, "smile", 5)
        wait_for(page.locator("#busy"), "Drawing it")
        page.keyboard.press("Control+z")
        wait_for(tag(page), "Smile +0.5")
    assert tag(page).inner_text() == "Smile +0.5"
    assert page.locator("#slide-smile").input_value() == "0.5"
    page.locator("#redo").click()
    wait_for(tag(page), "Smile +1.0")


def test_after_an_undo_a_second_face_is_blended_at_once_and_an_undo_of_that_stays(page):
    choose(page)
    slide(page, "smile", 5)
    wait_for(tag(page), "Smile +0.5")
    page.keyboard.press("Control+z")
    page.locator("#tab-blend").click()
    second(page)
    wait_for(tag(page), "Blend, 50 %")
    page.keyboard.press("Control+z")
    wait_for(tag(page), "Drawn again")
    page.wait_for_timeout(1000 * patience(2))
    assert tag(page).inner_text() == "Drawn again"
    expect(page.locator("#redo")).to_be_enabled()


def test_an_older_face_does_not_come_over_a_newer_wish(page):
    page.locator("#welcome .wide button").click()
    chips = page.locator("#faces button")
    expect(chips).to_have_count(2, timeout=1000 * patience(90))
    shown = page.locator("#history [aria-current]")
    with held(page, "**/embed"):
        chips.nth(1).click()
        wait_for(page.locator("#busy"), "Reading that face")
        assert give(page, "drop", "main", PHOTO)
        expect(shown).to_have_attribute("title", "your photo", timeout=1000 * patience(90))
    expect(shown).to_have_attribute("title", "your photo")
    with held(page, "**/embed"):
        assert give(page, "drop", "main", PHOTO)
        wait_for(page.locator("#busy"), "Finding the face")
        page.locator("#restart").click()
    expect(page.locator("#welcome")).to_be_visible()


def test_a_refinement_outlives_other_faces_and_refusals(page):
    choose(page)
    slide(page, "smile", 5)
    wait_for(tag(page), "Smile +0.5")
    page.locator("#tab-refine").click()
    sent = []
    page.on("request", lambda request: sent.append(request) if "/refine" in request.url else None)
    with page.expect_response("**/refine") as started:
        page.locator("#refine-go").dblclick()
    assert len(sent) == 1
    job = started.value.json()["id"]
    words = page.locator("#refine-words")
    expect(words).to_contain_text("Step ", timeout=1000 * patience(120))
    expect(words).not_to_contain_text("Step 0 of", timeout=1000 * patience(120))
    page.locator("#use").click()  # a face of its own, which is not being refined
    expect(page.locator("#refining")).to_be_hidden()
    assert give(page, "drop", "main", PHOTO)
    expect(page.locator("#history [aria-current]")).to_have_attribute(
        "title", "your photo", timeout=1000 * patience(90)
    )
    refuse_once(page, f"**/jobs/{job}", 429, "rate-limited")
    refuse_once(page, f"**/jobs/{job}/result*", 503, "jobs-unavailable")
    assert page.request.delete(f"/jobs/{job}").ok
    refined = page.locator("#history button[title^=Refined]")
    expect(refined).to_have_count(1, timeout=1000 * patience(90))
    expect(page.locator("#history [aria-current]")).to_have_attribute("title", "your photo")
    page.wait_for_timeout(3000)  # for a second one
    expect(refined).to_have_count(1)
    refined.click()
    wait_for(tag(page), "Refined")
    expect(page.locator("#refine-go")).to_be_visible()
    expect(notice(page)).to_be_empty()
