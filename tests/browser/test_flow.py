"""A visitor's whole way over the page: a photo in, every tool, and the results saved."""

import io

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from tests.browser.acting import choose, download, give, second, slide, tag, wait_for
from tests.browser.conftest import assert_accessible
from tests.e2e.running import patience


def test_a_photo_can_be_edited_undone_saved_and_edited_further(page):
    assert_accessible(page)
    choose(page)
    wait_for(tag(page), "Drawn again")
    wait_for(page.locator("#likeness"), "the photo")  # its figures come after the picture
    assert page.locator("#after").get_attribute("alt")
    assert page.locator("#before").get_attribute("alt")

    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/edit" in request.url else None)
    slide(page, "smile", 10)
    wait_for(tag(page), "Smile +1.0")
    assert 1 <= len(sent) <= 3  # ten steps: a preview or two, and the picture
    name, data = download(page, page.locator("#save"))
    assert name == "wplus-smile-1-0.jpg"
    assert Image.open(io.BytesIO(data)).size == (1024, 1024)

    assert "-F image=@photo.jpg -F directions=smile:1 " in page.locator("#command").text_content()

    page.keyboard.press("Control+z")
    wait_for(tag(page), "Drawn again")
    assert page.locator("#slide-smile").input_value() == "0"
    page.locator("#redo").click()
    wait_for(tag(page), "Smile +1.0")
    assert page.locator("#slide-smile").input_value() == "1"
    expect(page.locator("#history [aria-current]")).to_have_attribute("title", "Smile +1.0")

    page.locator("#use").click()
    assert page.locator("#slide-smile").input_value() == "0"
    slide(page, "pose", 5)
    wait_for(tag(page), "+0.5")
    page.locator("#more summary").click()
    wait_for(page.locator("#command"), "No single command")  # a change of a change
    name, code = download(page, page.locator("[data-suffix=npy]"))
    assert np.load(io.BytesIO(code)).shape == (18, 512)
    assert_accessible(page)

    page.locator("#restart").click()
    expect(page.locator("#welcome")).to_be_visible()
    saved = {"name": name, "mimeType": "application/octet-stream", "buffer": code}
    assert give(page, "drop", "main", saved)
    wait_for(tag(page), "a saved face")


def test_each_face_of_a_photo_is_changed_within_the_whole_of_it(page):
    page.locator("#welcome .wide button").click()
    chips = page.locator("#faces button")
    expect(chips).to_have_count(2, timeout=1000 * patience(90))
    slide(page, "smile", 15)
    wait_for(tag(page), "Smile +1.5")
    page.locator("#view-whole").click()
    save = page.locator("#save")
    expect(save).to_have_attribute(
        "download", "wplus-smile-1-5-whole-photo.jpg", timeout=1000 * patience(90)
    )
    _, data = download(page, save)
    assert Image.open(io.BytesIO(data)).size == (960, 480)
    assert b"/trainedAlgorithmicMedia" in data  # as the sample is generated as a whole
    assert_accessible(page)
    chips.nth(1).click()  # the next one is changed in what is shown
    expect(chips.nth(1)).to_have_attribute("aria-pressed", "true", timeout=1000 * patience(90))
    page.locator("#view-crop").click()
    slide(page, "smile", -15)
    wait_for(tag(page), "Smile \u22121.5")


def test_two_faces_are_blended_played_coloured_merged_and_swapped(page):
    choose(page)
    page.locator("#tab-blend").click()
    assert_accessible(page)
    second(page)
    wait_for(tag(page), "Blend, 50 %")
    assert_accessible(page)
    command = page.locator("#command")
    assert "-F image=@photo.jpg -F image=@second.jpg -F lam=0.5 " in command.text_content()
    page.locator("#animate").click()
    wait_for(tag(page), "Animation")
    name, film = download(page, page.locator("#save"))
    assert name == "wplus-animation.webp"
    assert Image.open(io.BytesIO(film)).n_frames > 24

    page.locator("#tab-colour").click()
    wait_for(tag(page), "Coloured")
    assert "-F first_row=8 -F keep_luminance=true " in command.text_content()
    page.locator("[name=keep]").uncheck()
    expect(page.locator("#history li")).to_have_count(5, timeout=1000 * patience(60))
    page.locator("#tab-merge").click()
    page.locator("#merge-go").click()
    wait_for(tag(page), "Merged")
    assert_accessible(page)
    page.locator("#swap").click()
    wait_for(page.locator("#second-hint"), "Your photo")


def test_a_face_is_refined_watched_and_stopped(page):
    choose(page)
    page.locator("#tab-refine").click()
    assert_accessible(page)
    page.locator("#refine-go").click()
    words = page.locator("#refine-words")
    expect(words).to_contain_text("of 30", timeout=1000 * patience(120))
    expect(words).not_to_contain_text("step 0 of", timeout=1000 * patience(120))
    assert_accessible(page)
    page.reload()  # it goes on without the page, which finds it again
    expect(words).to_contain_text("of 30", timeout=1000 * patience(60))
    page.locator("#refine-stop").click()
    wait_for(tag(page), "Refined")
    expect(page.locator("#refine-go")).to_be_visible()
    name, data = download(page, page.locator("#save"))
    assert name.startswith("wplus-refined")
    assert Image.open(io.BytesIO(data)).size == (1024, 1024)
