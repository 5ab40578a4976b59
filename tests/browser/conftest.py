"""The page in headless Chromium, served by the real service; skipped where there is no browser."""

import os
import shutil

import httpx2 as httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tests.e2e.running import Service, patience

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEPT = 40  # latent ids
DESKTOP = {"viewport": {"width": 1280, "height": 860}}


def find_browser():
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="package")
def chromium():
    """A browser for all tests of this folder; playwright's own loop ends with them."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    args = ["--disable-gpu", "--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        args.append("--no-sandbox")  # root has none
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=args)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def url(chromium, cache, tmp_path_factory):
    """Where a warm service of these tests' own listens; its jobs are in a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    for shared in cache.iterdir():
        if shared.name != "jobs":
            (folder / shared.name).symlink_to(shared)
    running = Service(folder, backend="openvino", latent_capacity=KEPT)
    try:
        running.wait_for(lambda: running.url)
        running.wait_for(lambda: httpx.get(f"{running.url}/readyz", timeout=60).is_success)
        yield running.url
    finally:
        running.stop()


@pytest.fixture
def open_page(chromium, url):
    """Open the page with given settings of the browser; no script may fail while it is open."""
    contexts, faults = [], []

    def open_it(path="/", **settings):
        context = chromium.new_context(base_url=url, **(DESKTOP | settings))
        context.set_default_timeout(1000 * patience(60))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: "Content Security" in message.text and faults.append(message.text),
        )
        page.goto(path)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page):
    """The page on a desktop."""
    return open_page()


def assert_accessible(page):
    """Let axe judge what is shown."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
