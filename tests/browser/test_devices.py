"""The page on a phone, by keyboard alone, in the dark, and without scripts."""

from playwright.sync_api import expect

from tests.browser.acting import PHOTO, choose, slide, tag, wait_for, wait_for_face
from tests.browser.conftest import assert_accessible
from tests.e2e.running import patience

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
SMALL_TARGETS = """() => [...document.querySelectorAll("button, a, summary, label.button, select")]
    .filter((each) => each.checkVisibility())
    .map((each) => [each.id || each.textContent.trim(), each.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < 44 || height < 44)
    .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)"""


def assert_fits(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(SMALL_TARGETS) == []


def test_on_a_phone_all_is_in_reach_and_the_picture_stays_in_view(open_page):
    page = open_page(**PHONE, color_scheme="dark", reduced_motion="reduce")
    expect(page.get_by_text("Take a photo").first).to_be_visible()
    assert page.locator("#welcome [capture]").get_attribute("capture") == "user"
    assert_fits(page)
    assert_accessible(page)
    choose(page)
    assert_fits(page)
    slide(page, "smile", 5)
    wait_for(tag(page), "Smile +0.5")
    for tool in ("blend", "refine", "change"):
        page.locator(f"#tab-{tool}").click()
        assert_fits(page)
    page.locator("#slide-smile").scroll_into_view_if_needed()
    expect(page.locator("#picture")).to_be_in_viewport(ratio=0.5)
    assert_accessible(page)


def test_everything_can_be_done_by_keyboard(page):
    sample = page.get_by_role("button", name="blonde")
    for _ in range(30):
        if sample.evaluate("each => each === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_for_face(page)
    page.locator("#tab-change").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-blend")).to_be_focused()
    expect(page.locator("#blend")).to_be_visible()
    page.keyboard.press("Home")
    slider = page.locator("#slide-smile")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    wait_for(tag(page), "Smile +0.2")
    expect(slider).to_be_focused()
    assert slider.get_attribute("aria-valuetext") == "+0.2"
    split = page.locator("#split")
    split.focus()
    before = split.input_value()
    page.keyboard.press("ArrowRight")
    assert split.input_value() != before


def test_without_scripts_the_page_says_what_to_do(open_page):
    page = open_page(java_script_enabled=False)
    command = page.locator("noscript pre code")
    expect(command).to_be_visible()
    expect(command).to_contain_text("curl --fail-with-body -F image=@photo.jpg")
    expect(page.locator("#welcome")).to_be_hidden()


def test_the_reference_is_shown_from_our_own_files(open_page):
    page = open_page()
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto("/docs")
    edit = page.locator("#operations-edit-edit")
    expect(edit).to_be_visible(timeout=1000 * patience(60))
    edit.click()
    expect(edit.get_by_text("latent_id").first).to_be_visible()
    assert edit.locator("tr[data-param-in=query]").count() == 0
    edit.get_by_role("button", name="Try it out").click()
    edit.locator("[data-property-name=image] input[type=file]").set_input_files(PHOTO)
    edit.locator("[data-property-name=direction] input[type=text]").fill("smile")
    edit.get_by_role("button", name="Execute").click()
    status = edit.locator(".live-responses-table tbody .response-col_status").first
    expect(status).to_contain_text("200", timeout=1000 * patience(90))
    assert len(hosts) == 1
