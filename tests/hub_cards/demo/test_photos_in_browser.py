"""Photos on the demo's page: the first look, an upload, thresholds, files and mistakes."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from vitpose import SyntheticPeople

pytestmark = pytest.mark.slow
PICTURE = "document.querySelector('#photo-view img')"


@pytest.fixture
def photo(tmp_path) -> Path:
    SyntheticPeople(num_people=1, seed=2)[0]["image"].save(tmp_path / "beach.jpg")
    return tmp_path / "beach.jpg"


def upload(page, file: Path) -> None:
    page.locator("#upload input[type=file]").set_input_files(str(file))


def summary(page, text: str) -> str:
    """The sentence of the answer, once it holds a text."""
    sentence = page.locator("#summary", has_text=text)
    sentence.wait_for()
    return sentence.inner_text()


def source(page) -> str:
    """The picture that is shown."""
    return page.locator("#photo-view img").get_attribute("src")


def download(page, button: str) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=button).or_(page.get_by_role("button", name=button)).first.click()
    return Path(waiting.value.path())


def test_the_page_opens_with_a_solved_example_and_says_what_the_model_knows(page):
    assert summary(page, "2 people").startswith("2 people, ")
    assert source(page).startswith("data:image/jpeg;base64,")
    known = page.locator("#knowledge").inner_text()
    assert "tiny finds 17 keypoints of a person, those of coco" in known
    assert "Trained on generated people only" in known
    tops = [page.locator(name).bounding_box()["y"] for name in ("#examples", "#upload")]
    assert tops == sorted(tops), "examples come before the upload"
    assert page.locator(".legend").inner_text().split("\n")[:2] == ["the person's left", "the person's right"]


def test_an_upload_is_answered_without_a_further_click(page, photo):
    before = source(page)
    upload(page, photo)
    summary(page, "1 person")
    assert source(page) != before
    page.wait_for_timeout(1000)  # a telephone scrolls there
    frame = page.locator("#photo-view img").bounding_box()
    assert frame["y"] < page.viewport_size["height"] - 100, "the answer is in sight"
    content = json.loads(download(page, "JSON").read_text())
    assert content["image"]["file_name"] == "beach.jpg"


def test_an_example_is_answered_at_once(page):
    page.locator("#examples button, #examples .gallery-item").nth(2).click()
    summary(page, "1 person")


def test_the_threshold_moves_by_keyboard_and_files_hold_everything(page):
    before = source(page)
    slider = page.get_by_role("slider", name=re.compile("score at least")).first
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    summary(page, "score 0.70 or more")
    assert source(page) != before
    everyone = json.loads(download(page, "JSON").read_text())["people"]
    assert [len(person["keypoints"]) for person in everyone] == [17, 17]
    assert len(download(page, "CSV").read_text().splitlines()) == 1 + 2 * 17


def test_boxes_numbers_scores_and_colors_are_drawn_on_request(page):
    pictures = {source(page)}
    for number, name in enumerate(("boxes", "numbers", "scores", "a color a person"), start=2):
        page.get_by_label(name, exact=True).check()
        page.wait_for_function(
            "before => !before.includes(document.querySelector('#photo-view img').src)", arg=[*pictures]
        )
        pictures.add(source(page))
        assert len(pictures) == number
    page.get_by_text("A color for each person").wait_for()


def test_the_picture_comes_in_full_size(page, tmp_path):
    person = SyntheticPeople(num_people=1, seed=2)[0]["image"]
    person.resize((3000, 3000 * person.height // person.width)).save(tmp_path / "large.jpg")
    upload(page, tmp_path / "large.jpg")
    summary(page, "1 person")
    shown = page.evaluate(f"{PICTURE}.naturalWidth")
    assert shown <= 1280
    with Image.open(download(page, "Picture in full size")) as picture:
        assert picture.format == "PNG" and picture.width == 3000


def test_what_is_no_photo_is_told_once_and_names_no_folder(page, tmp_path):
    (tmp_path / "notes.jpg").write_text("no photo")
    upload(page, tmp_path / "notes.jpg")
    told = page.get_by_text("cannot be read as a photo")
    told.first.wait_for()
    page.wait_for_timeout(500)
    assert told.count() == 1
    assert told.inner_text() == "notes.jpg cannot be read as a photo: upload a JPEG, PNG or WebP file."
    assert page.get_by_text("Error", exact=True).count() == 0


def test_another_model_and_dataset_answer_for_the_same_photo(page):
    before = source(page)
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="/two").click()
    page.locator("#knowledge", has_text="/two").wait_for()
    summary(page, "No keypoint scores 0.20 or more")
    assert source(page) != before
    page.get_by_role("slider", name="Draw keypoints that score at least").first.focus()
    page.keyboard.press("Home")
    summary(page, "of 34 keypoints score 0.00 or more")
    page.get_by_label("Keypoints as in").first.click()
    page.get_by_role("option", name="mpii").click()
    page.locator("#knowledge", has_text="16 keypoints").wait_for()
    summary(page, "of 32 keypoints score 0.00 or more")
