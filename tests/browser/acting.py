"""What a visitor does, in few words, and where to look afterwards."""

import io

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.running import ASTRONAUT, patience

PHOTO = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": ASTRONAUT}


def jpeg_of(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}


def without_face():
    return jpeg_of(np.full((400, 500, 3), 150, np.uint8))


def wait_for(locator, text):
    expect(locator).to_contain_text(text, timeout=1000 * patience(90))


def choose(page, file=PHOTO):
    """Choose a photo on the welcome page, and wait for its face."""
    page.locator("#welcome [data-pick]").first.set_input_files(file)
    wait_for_face(page)


def wait_for_face(page):
    expect(page.locator("#studio")).to_be_visible(timeout=1000 * patience(90))


def tag(page):
    return page.locator("#after-tag")


def wait_until_kept(page, title):
    """Wait until a reload would bring this step back."""
    page.wait_for_function(
        """async (title) => {
            const asked = (request) => new Promise((resolve) => {
                request.onsuccess = () => resolve(request.result);
            });
            const database = await asked(indexedDB.open("wplus"));
            const records = await asked(database.transaction("tabs").objectStore("tabs").getAll());
            database.close();
            return records.some(({ steps, at }) => steps[at].title === title);
        }""",
        arg=title,
        timeout=1000 * patience(60),
    )


def notice(page):
    return page.locator("#notice")


def slide(page, name, steps):
    """Move a slider by so many steps, as fast as a hand can."""
    page.locator(f"#slide-{name}").evaluate(
        """(input, steps) => {
            for (let step = 0; step < Math.abs(steps); step += 1) {
                input.stepUp(Math.sign(steps));
                input.dispatchEvent(new Event("input", { bubbles: true }));
            }
        }""",
        steps,
    )


def second(page, number=1):
    """Choose a sample as the second face."""
    page.locator("#second .samples button").nth(number).click()


def download(page, locator):
    """Click what saves a file; answer the name and the bytes."""
    with page.expect_download() as started:
        locator.click()
    path = started.value.path()
    return started.value.suggested_filename, path.read_bytes()


def give(page, event, selector, *files):
    """Drop or paste files, or nothing, on an element; answer whether the page took it over."""
    listed = [{**file, "buffer": list(file["buffer"])} for file in files]
    return page.locator(selector).evaluate(
        """(target, [event, files]) => {
            const data = new DataTransfer();
            for (const { name, mimeType, buffer } of files) {
                data.items.add(new File([new Uint8Array(buffer)], name, { type: mimeType }));
            }
            const how = { bubbles: true, cancelable: true };
            const given = event === "paste"
                ? new ClipboardEvent(event, { ...how, clipboardData: data })
                : new DragEvent(event, { ...how, dataTransfer: data });
            return !target.dispatchEvent(given);
        }""",
        [event, listed],
    )
