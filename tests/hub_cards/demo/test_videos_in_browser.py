"""Videos on the demo's page: the example, an upload, the threshold, and a stop halfway."""

import json
from pathlib import Path

import pytest
from space_help import write_clip

pytestmark = pytest.mark.slow


@pytest.fixture
def videos(page):
    """The tab for videos."""
    page.get_by_role("tab", name="Video").click()
    page.get_by_role("button", name="Take the example").wait_for()
    return page


def run(page) -> None:
    page.get_by_role("button", name="Find keypoints").click()


def told(page, text: str) -> str:
    sentence = page.locator("#video-summary", has_text=text)
    sentence.wait_for()
    return sentence.inner_text()


def lines(page) -> list[dict]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="JSON lines").click()
    return [json.loads(line) for line in Path(waiting.value.path()).read_text().splitlines()]


def test_the_example_is_drawn_while_its_progress_is_shown(videos):
    videos.get_by_role("button", name="Take the example").click()
    videos.locator("#clip", has_text=".mp4").wait_for()
    run(videos)
    told(videos, " of 30")
    told(videos, "30 frames.")
    videos.locator("#drawn-video video").wait_for()
    assert len(lines(videos)) == 30


def test_an_upload_that_is_stopped_leaves_what_was_done(videos, tmp_path):
    clip = write_clip(tmp_path / "long.mp4", num_frames=600)
    videos.locator("#clip input[type=file]").set_input_files(str(clip))
    videos.locator("#clip", has_text=".mp4").wait_for()
    run(videos)
    told(videos, " of 600")
    videos.get_by_role("button", name="Stop").click()
    count = int(told(videos, "Stopped after").split()[2])
    assert 0 < count < 600
    assert len(lines(videos)) == count
    assert videos.get_by_role("button", name="Find keypoints").is_enabled()


def test_the_threshold_of_a_video_moves_by_keyboard(videos):
    slider = videos.get_by_role("slider", name="Draw keypoints that score at least").last
    slider.focus()
    videos.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == 0.25


def test_what_is_no_video_is_told_once_and_names_no_folder(videos, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    videos.locator("#clip input[type=file]").set_input_files(str(tmp_path / "notes.mp4"))
    videos.locator("#clip", has_text=".mp4").wait_for()
    run(videos)
    sentence = told(videos, "notes.mp4")
    assert "/" not in sentence
    assert videos.get_by_text("cannot be read as a video").count() == 1
    assert videos.get_by_text("Error", exact=True).count() == 0


def test_without_a_video_it_says_what_to_do(videos):
    run(videos)
    told(videos, "There is no video yet: upload one, or take the example.")
