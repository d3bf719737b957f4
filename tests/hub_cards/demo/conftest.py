"""The demo in a real browser, at the width of a desk and of a telephone, where one is installed."""

import os
import shutil
from pathlib import Path

import pytest
from space_help import save_two_heads

WIDTHS = {
    "desk": {"viewport": {"width": 1280, "height": 900}},
    "telephone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
PATIENCE = 15_000  # milliseconds
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, which Playwright drives; it fetches none of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory, browser):
    """Where the demo is served: the packaged model first, and one of two datasets."""
    pytest.importorskip("gradio", reason="the interface comes with the demo extra")
    from vitpose.hub_cards.demo.interface import launch
    from vitpose.hub_cards.demo.model import Demo

    interface = launch(Demo(["tiny", save_two_heads(tmp_path_factory.mktemp("models") / "two")]), wait=False)
    yield interface.local_url
    interface.close()


def open_page(browser, address: str, kind: str):
    """The page with its first example solved; mistakes of its scripts are kept in `page.faults`."""
    page = browser.new_page(**WIDTHS[kind])
    page.set_default_timeout(PATIENCE)
    page.kind, page.faults = kind, []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(address)
    page.get_by_text("2 people").wait_for()
    return page


@pytest.fixture(params=WIDTHS)
def page(request, browser, address):
    """The page at each width; nothing of it sticks out at the side, and no script fails."""
    opened = open_page(browser, address, request.param)
    yield opened
    opened.wait_for_timeout(300)
    keep(opened, request.node.originalname)
    sticks_out = opened.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    faults = opened.faults
    opened.close()
    assert not sticks_out
    assert faults == []


def keep(page, name: str) -> None:
    """A screenshot, where VITPOSE_SCREENSHOTS names a folder for them."""
    if folder := os.environ.get("VITPOSE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}_{page.kind}.png", full_page=True)
