"""The demo in a real browser, at the width of a desk and of a telephone: what its users do, and see."""

import json
import os
import shutil
from pathlib import Path

import pytest
from space_help import save_two_heads, write_clip

from vitpose import SyntheticPeople
from vitpose.hub_cards.demo.model import Demo

pytest.importorskip("gradio", reason="the interface comes with the demo extra")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = {"desk": (1280, 900), "telephone": (390, 844)}  # width, height of the window
PATIENCE = 20_000  # milliseconds


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory) -> str:
    return save_two_heads(tmp_path_factory.mktemp("models") / "two")


@pytest.fixture(scope="module")
def address(two_heads):
    """Where the demo is served."""
    from vitpose.hub_cards.demo.interface import build_interface

    interface = build_interface(Demo(["tiny", two_heads]))
    _, url, _ = interface.launch(prevent_thread_lock=True, quiet=True)
    yield url
    interface.close()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(params=WIDTHS)
def page(request, browser, address):
    width, height = WIDTHS[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(PATIENCE)
    opened.goto(address)
    opened.get_by_role("button", name="Find keypoints").wait_for()
    opened.kind = request.param
    yield opened
    opened.close()


@pytest.fixture
def photo(tmp_path) -> Path:
    SyntheticPeople(num_people=1, seed=2)[0]["image"].save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_clip(tmp_path / "clip.mp4", num_frames=20)


def keep(page, name: str) -> None:
    """A screenshot, where VITPOSE_SCREENSHOTS names a folder for them."""
    page.wait_for_timeout(500)
    if folder := os.environ.get("VITPOSE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{page.kind}_{name}.png", full_page=True)


def upload(page, file: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(str(file))


def choose(page, label: str, value: str) -> None:
    page.get_by_label(label).first.click()
    page.get_by_role("option", name=value).click()


def summary(page, text: str) -> str:
    """The sentence of the answer, once it holds a text."""
    sentence = page.get_by_text(text)
    sentence.wait_for()
    return sentence.inner_text()


def download(page, button: str) -> str:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=button).or_(page.get_by_role("button", name=button)).first.click()
    return Path(waiting.value.path()).read_text("utf-8")


def test_a_photo_its_skeleton_another_threshold_another_head_and_the_files(page, photo):
    upload(page, photo)
    page.locator("img[src*='photo.jpg']").wait_for()
    page.get_by_role("button", name="Find keypoints").first.click()
    before = summary(page, "keypoints score above 0.30")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out at the side"
    keep(page, "found")

    number = page.get_by_label("number input for Keypoints above this score")
    number.fill("0.8")
    number.blur()
    assert summary(page, "keypoints score above 0.80") != before
    content = json.loads(download(page, "Download JSON"))
    assert content["threshold"] == 0.8 and content["dataset"] == "coco"
    assert all(point["score"] > 0.8 for person in content["people"] for point in person["keypoints"])
    assert download(page, "Download CSV").startswith("person,keypoint,x,y,score")

    choose(page, "Model", "/two")
    summary(page, "the best 0.0")
    choose(page, "Keypoints as in", "mpii")
    number.fill("0")
    number.blur()
    summary(page, "of 16 keypoints score above 0.00")
    keep(page, "other_head")


def test_an_example_answers_at_once_and_two_clicks_make_a_box(page, photo):
    page.locator(".gallery-item, .gallery button").last.click()
    summary(page, "2 people")
    keep(page, "example")
    page.reload()
    page.get_by_label("in boxes").first.check()
    upload(page, photo)
    shown = page.locator("img[src*='photo.jpg']")
    shown.wait_for()
    page.wait_for_timeout(1000)
    box = shown.bounding_box()  # of the frame, in whose middle the photo is
    middle = box["width"] / 2, box["height"] / 2
    shown.click(position={"x": middle[0] - 40, "y": middle[1] - 60})
    page.get_by_text("Now click the opposite corner").wait_for()
    shown.click(position={"x": middle[0] + 40, "y": middle[1] + 60})
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Find keypoints").first.click()
    summary(page, "1 person")
    keep(page, "clicked")


def test_what_is_no_photo_is_told_and_cleared_away(page, tmp_path):
    (tmp_path / "notes.jpg").write_text("no photo")
    upload(page, tmp_path / "notes.jpg")
    page.get_by_text("notes.jpg cannot be read as a photo: upload a JPEG, PNG or WebP file.").wait_for()
    keep(page, "no_photo")
    page.get_by_role("button", name="Find keypoints").first.click()
    page.get_by_text("There is no photo yet").wait_for()
    assert page.get_by_text("There is no photo yet").first.is_visible()


def test_a_video_is_drawn_while_its_progress_is_shown(page, clip):
    page.get_by_role("tab", name="Video").click()
    page.locator("input[type=file]").last.set_input_files(str(clip))
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Find keypoints").last.click()
    page.get_by_text("predict").wait_for()
    keep(page, "video_progress")
    page.locator("video[src*='_pose.mp4']").wait_for()
    lines = download(page, "Download JSON lines").splitlines()
    assert len(lines) == 20
    keep(page, "video")
