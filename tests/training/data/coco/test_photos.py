"""Photos of COCO files: found under other names, and of other sizes than the file says."""

from pathlib import Path

import numpy as np
import pytest
from coco_help import Content, coco, each, first, read_changed, schema_of, write
from PIL import ExifTags, Image

from vitpose.base.errors import PlacedError
from vitpose.data import read_coco, read_detections


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(lambda name: f"/data/upload/3/0a1b2c3d-{name}", id="Label Studio's storage"),
        pytest.param(lambda name: f"/data/local-files/?d=set/{name}", id="Label Studio's local files"),
        pytest.param(lambda name: f"../../{name}", id="a relative path of another folder"),
        pytest.param(lambda name: f"/datasets/df/{name}", id="an absolute path of another machine"),
        pytest.param(lambda name: f"D:\\set\\train\\{name}", id="a path of Windows"),
        pytest.param(lambda name: f"train2017/{name}", id="the folder before the name"),
        pytest.param(lambda name: f"https://example.org/set/{name}?token=a/b.png", id="a signed address"),
        pytest.param(lambda name: f"s3://bucket/set/{name.replace('.', '%2E')}", id="percent-encoded"),
    ],
)
def test_photos_are_found_by_the_last_parts_of_their_names(workplace, tmp_path, caplog, rename):
    read = read_changed(workplace, tmp_path, each("file_name", rename, of="images"))
    assert [image["path"] for image in read["image"]] == [f"{workplace[0]}/{number}.png" for number in (1, 2, 3)]
    assert "3 photos have another name in the folder" in caplog.text


def test_a_file_is_found_for_one_name_only(workplace, tmp_path):
    """Two folders of a data set may have photos of the same name, of which the image folder has one."""

    def rename(content):
        for image, name in zip(content["images"], ("a/1.png", "b/1.png"), strict=False):
            image["file_name"] = name

    with pytest.raises(ValueError, match="2 annotated images are missing: .*Check the image folder"):
        read_changed(workplace, tmp_path, rename)


def test_a_photo_of_another_folder_is_another_photo(workplace, tmp_path):
    (tmp_path / "photos" / "val").mkdir(parents=True)
    for number in (1, 2, 3):
        (tmp_path / "photos" / "val" / f"{number}.png").symlink_to(workplace[0] / f"{number}.png")
    rename = each("file_name", lambda name: f"train/{name}", of="images")
    with pytest.raises(ValueError, match="3 annotated images are missing: .*Check the image folder"):
        read_changed((tmp_path / "photos", workplace[1]), tmp_path, rename)


@pytest.mark.parametrize("name", ["x/../../secret.png", "file:///../secret.png", "https://a.org/../secret.png"])
def test_no_file_is_looked_for_outside_the_folder(workplace, tmp_path, name):
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.png").symlink_to(workplace[0] / "1.png")
    for number in (2, 3):
        (folder / f"{number}.png").symlink_to(workplace[0] / f"{number}.png")
    with pytest.raises(ValueError, match="1 annotated images are missing: .*secret.png. Check the image folder"):
        read_changed((folder, workplace[1]), tmp_path, first({"file_name": name}, of="images"))


def around_a_folder(workplace, root: Path) -> Path:
    """A folder with the second and third photo, and beside it one with the first."""
    folder, outside = root / "photos", root / "private"
    for part in (folder / "links", outside):
        part.mkdir(parents=True)
    for place, number in ((outside, 1), (folder, 2), (folder, 3)):
        (place / f"{number}.png").write_bytes((workplace[0] / f"{number}.png").read_bytes())
    return folder


@pytest.mark.parametrize("name", ["../private/1.png", "links/../../private/1.png", "{root}/private/1.png"])
def test_a_photo_outside_the_folder_is_refused_by_file_and_entry(workplace, tmp_path, name):
    """Whoever wrote the file could else have any file packed and passed on."""
    folder = around_a_folder(workplace, tmp_path)
    change = first({"file_name": name.format(root=tmp_path)}, of="images")
    with pytest.raises(PlacedError, match="1.png' leads outside the image folder .*Put the photo, or a link") as caught:
        read_changed((folder, workplace[1]), tmp_path, change)
    assert caught.value.place == (str(tmp_path / "people.json"), "image 1")


@pytest.mark.parametrize(
    "name", ["links/1.png", "links/../1.png", "links/outside/../../1.png", "{folder}/1.png", "../private/1.png"]
)
def test_a_link_in_the_folder_is_followed(workplace, tmp_path, name):
    """A name with `..` is that of the folder's own photo, wherever links on the way lead."""
    folder = around_a_folder(workplace, tmp_path)
    if "outside" in name:
        (folder / "links" / "outside").symlink_to(tmp_path / "private")
    link = folder / ("links/1.png" if name == "links/1.png" else "1.png")
    link.symlink_to(tmp_path / "private" / "1.png")
    change = first({"file_name": name.format(folder=folder)}, of="images")
    read = read_changed((folder, workplace[1]), tmp_path, change)
    assert read["image"][0]["path"] == str(link)


def test_full_names_may_be_those_of_the_folder_behind_a_link(workplace, tmp_path):
    folder = around_a_folder(workplace, tmp_path)
    (folder / "1.png").symlink_to(tmp_path / "private" / "1.png")
    (tmp_path / "linked").symlink_to(folder)
    change = each("file_name", lambda name: str(folder / name), of="images")
    read = read_changed((tmp_path / "linked", workplace[1]), tmp_path, change)
    assert [Path(image["path"]).name for image in read["image"]] == ["1.png", "2.png", "3.png"]


def lying_photo(folder: Path, size: tuple[int, int]) -> None:
    """A photo that is stored with this size, and shown turned by a quarter."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", size).save(folder / "1.jpg", exif=exif)


def of_lying_photo(ends: list[float]) -> Content:
    """One person from 10, 10 to a point, on a photo that the file takes for 200 x 100."""
    keypoints = np.linspace([10, 10], ends, 5)
    person = {"name": "1.jpg", "size": (200, 100), "box": [5, 5, 80, 80], "keypoints": np.c_[keypoints, [2] * 5]}
    return coco([person])


def test_sides_of_a_lying_photo_are_exchanged_where_the_keypoints_say_so(tmp_path, caplog):
    lying_photo(tmp_path, (200, 100))
    (row,) = read_coco(write(tmp_path, of_lying_photo([90, 180])), tmp_path, schema=schema_of())
    assert (row["width"], row["height"]) == (100, 200)
    assert row["keypoints"][-1] == [90, 180, 2]
    assert "exchanged the width and height of 1 photos" in caplog.text


@pytest.mark.parametrize(
    ("ends", "stored", "message"),
    [
        pytest.param([180, 90], (200, 100), "shown turned, 100 x 200.*remove the orientation", id="as stored"),
        pytest.param([90, 90], (200, 100), "image 1 is 200 x 100 pixels, .*1.jpg is shown turned", id="of either"),
        pytest.param([90, 90], (300, 150), "image 1 is 200 x 100 pixels, .*1.jpg is 150 x 300", id="another photo"),
    ],
)
def test_photos_of_another_size_are_refused_before_anybody_trains(tmp_path, ends, stored, message):
    lying_photo(tmp_path, stored)
    with pytest.raises(PlacedError, match=message) as caught:
        read_coco(write(tmp_path, of_lying_photo(ends)), tmp_path, schema=schema_of())
    assert caught.value.place == (str(tmp_path / "people.json"), "image 1")
    assert "remove width and height" in str(caught.value)


def test_photos_that_contradict_each_other_are_refused(tmp_path):
    lying_photo(tmp_path, (200, 100))
    content, other = of_lying_photo([90, 180]), of_lying_photo([180, 90])
    content["annotations"].append({**other["annotations"][0], "id": 2})
    with pytest.raises(PlacedError, match="image 1 is 200 x 100 pixels, .* is shown turned"):
        read_coco(write(tmp_path, content), tmp_path, schema=schema_of())


def test_boxes_of_a_detector_tell_how_a_photo_lies_too(tmp_path):
    lying_photo(tmp_path, (200, 100))
    file = write(tmp_path, of_lying_photo([90, 180]))
    found = [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 80, 190], "score": 0.9}]
    (row,) = read_detections(write(tmp_path, found, "found.json"), file, tmp_path, schema=schema_of())
    assert (row["width"], row["height"]) == (100, 200)


def test_a_lying_photo_without_a_stated_size_is_read_upright(tmp_path):
    lying_photo(tmp_path, (200, 100))
    content = of_lying_photo([90, 90])
    del content["images"][0]["width"]
    (row,) = read_coco(write(tmp_path, content), tmp_path, schema=schema_of())
    assert (row["width"], row["height"]) == (100, 200)
