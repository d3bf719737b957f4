"""What entries of the tools' files mean: groups, flags, names of photos, splits, and what is seen and not read."""

import json
import logging
from pathlib import Path

import datasets
import numpy as np
import pytest
import sleap_io
import yaml
from PIL import ExifTags, Image
from tool_files import (
    CATEGORY,
    NAMES,
    WRITTEN,
    Someone,
    dlc_frame,
    label_studio_results,
    make_people,
    write_cvat,
    write_label_studio,
    write_photos,
    write_sleap,
)

from vitpose import get_keypoint_schema
from vitpose.training.data.boxes import PERSON_MARGIN
from vitpose.training.data.loading import read_dataset, schema_of_files

PEOPLE = make_people(seed=5, photos=3)
PAIR = PEOPLE[1:3]  # of one photo


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    caplog.set_level(logging.INFO, logger="vitpose")


def points_of(people, names=NAMES) -> np.ndarray:
    return np.array([[person.keypoints[NAMES.index(name)] for name in names] for person in people])


def read_xy(form: str, data: Path, split: str = "train", **choices) -> np.ndarray:
    """(N, K, 2) read from the files, in the order of `NAMES`."""
    names = schema_of_files(data, category=choices.get("category")).keypoints
    people = np.array(read_dataset(form, data, split=split, **choices)["keypoints"])
    return people[:, [names.index(name) for name in NAMES], :2]


# YOLO


def yolo(folder: Path, lines: str, *, size=(200, 100), split="train", **config) -> Path:
    """One photo with its text file beside `data.yaml`."""
    for part in ("images", "labels"):
        (folder / part / split).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(folder / "images" / split / "a.jpg")
    (folder / "labels" / split / "a.txt").write_text(lines)
    config = {"train": f"images/{split}", "names": ["dog"], "kpt_shape": [2, 3]} | config
    (folder / "data.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_yolo_without_visibility_labels_what_is_not_at_zero(tmp_path):
    yolo(tmp_path, "0 .5 .5 .2 .4 .5 .25 0 0\n0 .5 .5 .2 .4 .1 0 -1 -1\n", kpt_shape=[2, 2])
    people = read_dataset("yolo", tmp_path, split="train")
    assert people["keypoints"][:] == [[[100, 25, 2], [0, 0, 0]], [[20, 0, 2], [0, 0, 0]]]
    assert people["bbox"][0] == [80, 30, 40, 40]


def test_yolo_is_relative_to_the_upright_photo(tmp_path):
    """Ultralytics turns photos by their EXIF orientation, so shares are of what a viewer shows."""
    yolo(tmp_path, "0 .5 .5 .2 .4 .5 .25 2 1 1 2\n")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "images" / "train" / "a.jpg", exif=exif)
    (row,) = read_dataset("yolo", tmp_path, split="train")
    assert (row["width"], row["height"]) == (100, 200)
    assert row["keypoints"] == [[50, 50, 2], [100, 200, 2]]


@pytest.mark.parametrize(
    ("where", "labels"),
    [
        ("../train/images", "train/labels"),  # Roboflow
        ("train/images", "train/labels"),
        ("./photos", "photos"),  # text files beside the photos
        ("all.txt", "images/labels"),  # a list; the last folder that is called images counts
        (["photos/a.jpg"], "photos"),
    ],
)
def test_yolo_finds_photos_and_text_files_as_ultralytics_does(tmp_path, where, labels):
    (tmp_path / labels).mkdir(parents=True)
    (tmp_path / labels / "a.txt").write_text("0 .5 .5 .2 .4 .5 .25 2 1 1 2\n")
    photos = tmp_path / labels.replace("labels", "images")
    photos.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10)).save(photos / "a.jpg")
    Image.new("RGB", (10, 10)).save(photos / "empty.jpg")
    (tmp_path / "all.txt").write_text("./images/images/a.jpg\n\n")
    config = {"path": "/home/somebody/data", "train": where, "names": {0: "dog"}, "kpt_shape": [2, 3]}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    assert len(read_dataset("yolo", tmp_path, split="train")) == 1


def test_yolo_s_validation_split_has_three_names(tmp_path):
    for name in ("val", "valid", "validation"):
        folder = tmp_path / name
        folder.mkdir()
        yolo(folder, "0 .5 .5 .2 .4 .5 .25 2 1 1 2\n", split=name, train=None, **{name: f"images/{name}"})
        assert len(read_dataset("yolo", folder, split="val")) == 1


def test_yolo_says_what_has_no_people_and_what_has_no_photo(tmp_path, caplog):
    yolo(tmp_path, "0 .5 .5 .2 .4 .5 .25 2 1 1 2\n")
    for name, text in (("b", ""), ("c", None)):
        Image.new("RGB", (9, 9)).save(tmp_path / "images" / "train" / f"{name}.jpg")
        if text is not None:
            (tmp_path / "labels" / "train" / f"{name}.txt").write_text(text)
    (tmp_path / "labels" / "train" / "gone.txt").write_text("")
    read_dataset("yolo", tmp_path, split="train")
    assert (
        "3 photos, 2 of them without people; 1 photos without a text file; 1 text files without a photo" in caplog.text
    )


def test_yolo_of_17_keypoints_without_names_is_coco_s(tmp_path):
    line = " ".join(["0 .5 .5 .2 .4", *[".5 .5 2"] * 17])
    yolo(tmp_path, line, kpt_shape=[17, 3], names=["Person"])
    assert schema_of_files(tmp_path) == get_keypoint_schema("coco")
    yolo(tmp_path, line, kpt_shape=[17, 3], names=["human"], flip_idx=[1, 0, *range(2, 17)])  # of another order
    schema = schema_of_files(tmp_path)
    assert schema.keypoints[0] == "keypoint_0" and schema.flip_pairs == ((0, 1),) and schema.sigmas is None


def test_yolo_of_17_keypoints_of_an_animal_is_nobody_s(tmp_path, caplog):
    yolo(tmp_path, " ".join(["0 .5 .5 .2 .4", *[".5 .5 2"] * 17]), kpt_shape=[17, 3], names=["horse"])
    schema = schema_of_files(tmp_path)
    assert (schema.keypoints[16], schema.flip_pairs, schema.sigmas) == ("keypoint_16", (), None)
    assert "the 17 keypoints of the class 'horse' are numbered" in caplog.text


@pytest.mark.parametrize("root", ["data", "other/../data", "./data/../data", "link/../data"])
def test_a_data_folder_may_be_relative(tmp_path, monkeypatch, root):
    """And the file may name its folders absolutely; through a link, `..` leads to where the link leads."""
    for folder in ("data", "other", "far/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    data = tmp_path / ("far/data" if root.startswith("link") else "data")
    yolo(data, "0 .5 .5 .2 .4 .5 .25 2 1 1 2\n", train=str(data / "images" / "train"))
    monkeypatch.chdir(tmp_path)
    (row,) = read_dataset("yolo", root, split="train")
    assert row["image"]["path"] == str(data / "images" / "train" / "a.jpg")


def test_yolo_without_names_takes_any_schema_of_as_many_keypoints(tmp_path):
    yolo(tmp_path, " ".join(["0 .5 .5 .2 .4", *[".5 .5 2"] * 14]), kpt_shape=[14, 3])
    (row,) = read_dataset("yolo", tmp_path, split="train", schema=get_keypoint_schema("aic"))
    assert row["keypoints"] == [[100, 50, 2]] * 14


def test_a_flip_idx_that_exchanges_nothing_leaves_it_to_the_names(tmp_path, caplog):
    line = "0 .5 .5 .2 .4 .5 .25 2 1 1 2\n"
    names = {"kpt_names": {0: ["left_ear", "right_ear"]}}
    assert schema_of_files(yolo(tmp_path, line, flip_idx=[0, 1], **names)).flip_pairs == ((0, 1),)
    names = {"kpt_names": {0: ["left_ear", "right_ear", "a", "b"]}, "kpt_shape": [4, 3]}
    line = "0 .5 .5 .2 .4 .5 .25 2 1 1 2 .5 .5 2 .5 .5 2\n"
    assert schema_of_files(yolo(tmp_path, line, flip_idx=[0, 1, 3, 2], **names)).flip_pairs == ((2, 3),)
    assert "flip_idx exchanges other keypoints than the names do, which would be left_ear - right_ear" in caplog.text


def test_keypoints_of_coco_with_other_pairs_are_not_coco_s(tmp_path):
    coco, line = get_keypoint_schema("coco"), " ".join(["0 .5 .5 .2 .4", *[".5 .5 2"] * 17])
    own = {"kpt_shape": [17, 3], "kpt_names": {0: list(coco.keypoints)}}
    assert schema_of_files(yolo(tmp_path, line, flip_idx=list(coco.flip_index), **own)) == coco
    schema = schema_of_files(yolo(tmp_path, line, flip_idx=[1, 0, *range(2, 17)], **own))
    assert (schema.flip_pairs, schema.sigmas) == (((0, 1),), None)


def test_classes_that_share_keypoints_are_told_apart(tmp_path):
    yolo(tmp_path, "0 .5 .5 .2 .4 .5 .25 2 1 1 2\n1 .5 .5 .2 .4 .5 .25 2 1 1 2\n", names=["cat", "dog"])
    people = read_dataset("yolo", tmp_path, split="train")
    assert people["category"][:] == ["cat", "dog"]
    schema = schema_of_files(tmp_path, category="dog")
    for choice in ({"category": "dog"}, {"schema": schema}):  # which says what it is of
        dogs = read_dataset("yolo", tmp_path, split="train", **choice)
        assert len(dogs) == 1 and "category" not in dogs.column_names


def test_sleap_io_s_own_yolo_data(tmp_path):
    """Their program writes what this one reads: 8 photos to train on and 4 to evaluate on."""
    people = make_people(seed=1, photos=12)
    write_photos(tmp_path, "train", people)
    labels = sleap_io.load_slp(str(write_sleap(tmp_path, "train", people)))
    labels.save(str(tmp_path / "yolo"), format="ultralytics", split_ratios={"train": 0.7, "val": 0.3}, verbose=False)
    schema = schema_of_files(tmp_path / "yolo")
    assert schema.keypoints == NAMES and schema.edges and schema.flip_pairs == ((1, 2), (3, 4))
    read = [
        row for split in ("train", "val") for row in read_dataset("yolo", tmp_path / "yolo", split=split)["keypoints"]
    ]
    found = sorted(np.array(read)[..., :2].sum((1, 2)).round(1).tolist())
    assert found == pytest.approx(sorted(points_of(people)[..., :2].sum((1, 2)).tolist()), abs=0.1)


# Label Studio


def task(people: list[Someone], *, photo: str | None = None, **made) -> dict:
    annotation = {"id": 1, "result": label_studio_results(people), **made}
    return {"id": 7, "data": {"image": photo or people[0].photo}, "annotations": [annotation]}


def tasks_file(folder: Path, tasks: list[dict]) -> Path:
    write_photos(folder, "train", PEOPLE)
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder


def without(results: list[dict], *types: str) -> list[dict]:
    """Results without some types and without links."""
    return [{k: v for k, v in entry.items() if k != "parentID"} for entry in results if entry["type"] not in types]


def test_keypoints_are_of_the_rectangle_that_a_relation_leads_to(tmp_path):
    results = label_studio_results(PAIR)
    relations = [
        {"type": "relation", "from_id": entry["parentID"], "to_id": entry["id"], "direction": "right"}
        for entry in results
        if "parentID" in entry
    ]
    first, second = (entry["id"] for entry in results if entry["type"] == "rectanglelabels")
    relations.append({"type": "relation", "from_id": first, "to_id": second})  # they know each other
    tasks_file(tmp_path, [task(PAIR, result=without(results) + relations)])
    np.testing.assert_allclose(read_xy("label_studio", tmp_path), points_of(PAIR)[..., :2], atol=1e-6)


def test_keypoints_are_of_the_rectangle_that_they_lie_in(tmp_path):
    tasks_file(tmp_path, [task(PAIR, result=without(label_studio_results(PAIR)))])
    np.testing.assert_allclose(read_xy("label_studio", tmp_path), points_of(PAIR)[..., :2], atol=1e-6)


def test_a_keypoint_in_two_rectangles_is_of_the_person_who_lacks_it(tmp_path):
    """Two people who overlap: what lies in one rectangle alone tells of whom the others are."""
    left = Someone(
        photo="p1.png", size=PAIR[0].size, box=(10, 10, 90, 90), keypoints=[[20, 20, 2], [80, 50, 2]] + [[0, 0, 0]] * 3
    )
    right = Someone(
        photo="p1.png",
        size=PAIR[0].size,
        box=(60, 10, 90, 90),
        keypoints=[[140, 20, 2], [130, 50, 2]] + [[0, 0, 0]] * 3,
    )
    tasks_file(tmp_path, [task([left, right], result=without(label_studio_results([left, right])))])
    read = read_dataset("label_studio", tmp_path, split="train")
    assert [row[0][0] for row in read["keypoints"]] == pytest.approx([80, 130])  # left_wrist is first
    assert [row[1][0] for row in read["keypoints"]] == pytest.approx([20, 140])


def test_who_has_no_rectangle_is_of_the_only_category(tmp_path):
    """Some photos of one person have a rectangle, others have none: that is one kind of thing all the same."""
    bare = without(label_studio_results(PEOPLE[:1]), "rectanglelabels")
    tasks_file(tmp_path, [task(PEOPLE[:1], result=bare), task(PAIR)])
    assert schema_of_files(tmp_path).name == CATEGORY
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 3


def test_a_keypoint_may_lie_a_little_outside_the_rectangle(tmp_path):
    """By a twentieth of its side; one that lies inside another is of that one all the same."""
    results = without(label_studio_results(PAIR))
    box, point = results[0]["value"], next(entry["value"] for entry in results if entry["type"] == "keypointlabels")
    point["x"] = box["x"] - 0.04 * box["width"]
    tasks_file(tmp_path, [task(PAIR, result=results)])
    expected = points_of(PAIR)[..., :2].copy()
    expected[0, 0, 0] = PAIR[0].box[0] - 0.04 * PAIR[0].box[2]
    np.testing.assert_allclose(read_xy("label_studio", tmp_path), expected, atol=1e-6)
    point["x"] = box["x"] - 0.06 * box["width"]
    with pytest.raises(ValueError, match="'nose' lies in none of 2 rectangles"):
        read_xy("label_studio", tasks_file(tmp_path, [task(PAIR, result=results)]))


def test_one_person_needs_no_rectangle(tmp_path, caplog):
    alone = PEOPLE[:1]
    tasks_file(tmp_path, [task(alone, result=without(label_studio_results(alone), "rectanglelabels"))])
    np.testing.assert_allclose(read_xy("label_studio", tmp_path), points_of(alone)[..., :2], atol=1e-6)
    assert "1 people without a box: it is drawn around their keypoints, 10% wider" in caplog.text


def test_which_annotation_of_a_task_counts(tmp_path, caplog):
    """The ground truth, else the newest; what was cancelled and what a model predicted do not."""
    old = {"id": 1, "result": [], "updated_at": "2024-01-01T00:00:00Z"}
    good = {"id": 2, "result": label_studio_results(PEOPLE[:1]), "updated_at": "2024-02-01T00:00:00Z"}
    gone = {"id": 3, "result": [], "was_cancelled": True, "updated_at": "2024-03-01T00:00:00Z"}
    entry = {**task(PEOPLE[:1]), "annotations": [old, good, gone], "predictions": [{"result": []}]}
    tasks_file(tmp_path, [entry])
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 1
    for said in (
        "1 predictions not read",
        "1 cancelled annotations not read",
        "1 annotations not read, as the photo has",
    ):
        assert said in caplog.text
    newest = {**old, "updated_at": "2024-04-01T00:00:00Z"}
    tasks_file(tmp_path, [entry | {"annotations": [newest, good | {"ground_truth": True}]}])
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 1


def test_tasks_that_nobody_annotated_yet_are_counted(tmp_path, caplog):
    """Their photos are not taken for photos without people; what a model predicted for them is not read either."""
    predicted = {"data": {"image": "p1.png"}, "predictions": [{"result": label_studio_results(PAIR), "score": 0.9}]}
    tasks_file(tmp_path, [task(PEOPLE[:1]), predicted, {"id": 9, "data": {"image": "p2.png"}, "annotations": []}])
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 1
    assert "1 photos, 0 of them without people; 1 predictions not read; 2 tasks without an annotation" in caplog.text
    with pytest.raises(ValueError, match=r"export\.json has no keypoints\. Annotate or export them"):
        read_dataset("label_studio", tasks_file(tmp_path, [predicted]), split="train")


def test_old_exports_call_annotations_completions(tmp_path):
    entry = task(PEOPLE[:1])
    entry["completions"] = entry.pop("annotations")
    assert len(read_dataset("label_studio", tasks_file(tmp_path, [entry]), split="train")) == 1


@pytest.mark.parametrize(
    "photo",
    [
        "/data/upload/3/ab12cd34-p0.png",
        "/data/local-files/?d=set%2Fimages%2Fp0.png",
        "http://localhost:8080/data/local-files/?d=p0.png",
        "s3://bucket/photos/p0.png",
        "https://storage.example.com/a/p0.png?signature=x%2Fy&expires=1",
        "C:\\photos\\p0.png",
        "../../../elsewhere/p0.png",
    ],
)
def test_photos_are_found_by_the_names_that_label_studio_gives_them(tmp_path, photo):
    tasks_file(tmp_path, [task(PEOPLE[:1], photo=photo)])
    (row,) = read_dataset("label_studio", tmp_path, split="train")
    assert row["image"]["path"] == str(tmp_path / "images" / "train" / "p0.png")


@pytest.mark.parametrize("photo", ["/data/upload/3/ab12cd34-a%20street.png", "set%2Fa%20street.png", "a street.png"])
def test_photos_are_found_by_percent_encoded_names(tmp_path, photo):
    tasks_file(tmp_path, [task(PEOPLE[:1], photo=photo)])
    (tmp_path / "set").mkdir()
    (tmp_path / "images" / "train" / "p0.png").rename(tmp_path / "set" / "a street.png")
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 1


@pytest.mark.parametrize("sides", [{"original_width": None, "original_height": None}, {"original_width": 7}, {}])
def test_regions_without_the_size_of_the_photo_are_read(tmp_path, sides):
    results = [
        {key: value for key, value in entry.items() if not key.startswith("original")} | sides
        for entry in label_studio_results(PEOPLE[:1])
    ]
    tasks_file(tmp_path, [task(PEOPLE[:1], result=results)])
    np.testing.assert_allclose(read_xy("label_studio", tmp_path), points_of(PEOPLE[:1])[..., :2], atol=1e-6)


def test_photos_may_be_linked(tmp_path):
    """A folder of photos is often a link, and a link may lead in a circle."""
    data = tmp_path / "data"
    data.mkdir()
    write_photos(tmp_path / "disk", "train", PEOPLE)
    (data / "photos").symlink_to(tmp_path / "disk")
    (data / "again").symlink_to(data)
    (data / "export.json").write_text(json.dumps([task(PEOPLE[:1])]))
    (row,) = read_dataset("label_studio", data / "export.json", split="train")
    assert row["image"]["path"] == str(data / "photos" / "images" / "train" / "p0.png")


def test_a_photo_may_have_kept_the_prefix_of_its_upload(tmp_path):
    tasks_file(tmp_path, [task(PEOPLE[:1], photo="/data/upload/3/ab12cd34-p0.png")])
    folder = tmp_path / "images" / "train"
    (folder / "p0.png").rename(folder / "ab12cd34-p0.png")
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 1


def test_a_turned_rectangle_is_enclosed(tmp_path):
    """It turns around its upper left corner: by 90 degrees it lies to the left of where it began."""
    results = label_studio_results(PEOPLE[:1])
    width, height = PEOPLE[0].size
    results[0]["value"] |= {"x": 50, "y": 10, "width": 20, "height": 10, "rotation": 90}
    tasks_file(tmp_path, [task(PEOPLE[:1], result=results)])
    (row,) = read_dataset("label_studio", tmp_path, split="train")
    across, down = 0.1 * height, 0.2 * width
    np.testing.assert_allclose(row["bbox"], [0.5 * width - across, 0.1 * height, across, down])


def test_smaller_copies_of_the_photos_do(tmp_path):
    """Percentages hold for them too."""
    tasks_file(tmp_path, [task(PEOPLE[:1])])
    file, size = tmp_path / "images" / "train" / "p0.png", PEOPLE[0].size
    Image.new("RGB", (size[0] * 2, size[1] * 2)).save(file)
    np.testing.assert_allclose(read_xy("label_studio", tmp_path), 2 * points_of(PEOPLE[:1])[..., :2])


def test_cropped_copies_of_the_photos_do_not(tmp_path):
    tasks_file(tmp_path, [task(PEOPLE[:1])])
    width, height = PEOPLE[0].size
    Image.new("RGB", (width, round(height * 0.95))).save(tmp_path / "images" / "train" / "p0.png")
    with pytest.raises(ValueError, match="the annotations are of a photo of .* Use the photo that was annotated"):
        read_dataset("label_studio", tmp_path, split="train")


def test_all_keypoints_are_of_the_only_rectangle(tmp_path):
    """Wherever they lie: a hand that reaches far out of it is still of the only person."""
    results = without(label_studio_results(PEOPLE[:1]))
    next(entry["value"] for entry in results if entry["type"] == "keypointlabels")["x"] = 99.0
    (row,) = read_dataset("label_studio", tasks_file(tmp_path, [task(PEOPLE[:1], result=results)]), split="train")
    assert max(x for x, _, _ in row["keypoints"]) == pytest.approx(0.99 * PEOPLE[0].size[0])


def test_a_rectangle_elsewhere_is_not_the_person_s(tmp_path, caplog):
    """Nor one that holds a single keypoint, such as the ball in a hand."""
    for x, y in ((90, 90), (PEOPLE[0].keypoints[1][0], PEOPLE[0].keypoints[1][1])):
        results = without(label_studio_results(PEOPLE[:1]))
        place = [100 * x / PEOPLE[0].size[0], 100 * y / PEOPLE[0].size[1]] if x != 90 else [x, y]
        results[0]["value"] |= {"x": place[0], "y": place[1], "width": 3, "height": 3, "rectanglelabels": ["ball"]}
        (row,) = read_dataset("label_studio", tasks_file(tmp_path, [task(PEOPLE[:1], result=results)]), split="train")
        labeled = np.array([point[:2] for point in row["keypoints"] if point[2]])
        assert len(labeled) == sum(v > 0 for *_, v in PEOPLE[0].keypoints)
        np.testing.assert_allclose(row["bbox"], around(labeled), atol=1e-3)
        assert "1 of the category 'ball' not read" in caplog.text


def around(labeled: np.ndarray) -> list[float]:
    low, high = labeled.min(0), labeled.max(0)
    margin = PERSON_MARGIN * (high - low).max()
    return [*(low - margin), *(high - low + 2 * margin)]


def test_other_regions_are_counted(tmp_path, caplog):
    results = [*label_studio_results(PEOPLE[:1]), {"id": "z", "type": "polygonlabels", "value": {"points": [[1, 2]]}}]
    read_dataset("label_studio", tasks_file(tmp_path, [task(PEOPLE[:1], result=results)]), split="train")
    assert "1 regions of the type polygonlabels not read" in caplog.text


def test_people_without_keypoints_are_ground_truth_alone(tmp_path):
    results = label_studio_results(PAIR)
    alone = [entry for entry in results if not entry["id"].startswith("box1") or entry["id"] == "box1"]
    tasks_file(tmp_path, [task(PAIR, result=alone)])
    assert len(read_dataset("label_studio", tmp_path, split="train")) == 1
    assert len(read_dataset("label_studio", tmp_path, split="train", everyone=True)) == 2


# CVAT


def cvat(folder: Path, shapes: str, meta: str = "", image: str = "") -> Path:
    write_photos(folder, "train", PEOPLE)
    width, height = PEOPLE[0].size
    sides = f'id="0" name="p0.png" width="{width}" height="{height}" {image}'
    text = f"<annotations><meta>{meta}</meta><image {sides}>{shapes}</image></annotations>"
    (folder / "annotations.xml").write_text(text)
    return folder


SKELETON = '<skeleton label="dog"><points label="nose" points="30,30"/><points label="tail" points="60,60"/></skeleton>'


def test_a_rectangle_drawn_around_a_skeleton_is_its_box(tmp_path, caplog):
    """CVAT's skeletons have no box; the smallest free rectangle around all points counts, grouped or not."""
    boxes = '<box label="b" xtl="0" ytl="0" xbr="200" ybr="140"/><box label="b" xtl="20" ytl="20" xbr="70" ybr="80"/>'
    (row,) = read_dataset("cvat", cvat(tmp_path, SKELETON + boxes), split="train")
    assert row["bbox"] == [20, 20, 50, 60]
    assert "1 of the category 'b' not read" in caplog.text


@pytest.mark.parametrize(
    ("label", "box"),
    [
        ("dog", [0, 0, 200, 140]),
        ("Human", [0, 0, 200, 140]),
        ("dog_bbox", [0, 0, 200, 140]),
        ("car", None),
        ("fireplace", None),
    ],
)
def test_a_rectangle_around_a_skeleton_need_not_be_its_box(tmp_path, caplog, label, box):
    """A car around a dog is a car; whether a rectangle is of the dog, its label says."""
    car = f'<box label="{label}" xtl="0" ytl="0" xbr="200" ybr="140"/>'
    (row,) = read_dataset("cvat", cvat(tmp_path, SKELETON + car), split="train")
    assert row["bbox"] == (box or [27, 27, 36, 36])
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(f"1 of the category {label!r} not read" in message for message in warned) == (box is None)


def test_a_turned_rectangle_of_cvat_is_enclosed(tmp_path):
    """It turns around its center: by 90 degrees its sides are exchanged."""
    turned = '<box label="dog" rotation="90" xtl="20" ytl="30" xbr="80" ybr="70"/>'
    (row,) = read_dataset("cvat", cvat(tmp_path, SKELETON.replace("60,60", "60,70") + turned), split="train")
    np.testing.assert_allclose(row["bbox"], [30, 20, 40, 60])


def test_of_two_skeletons_and_two_rectangles_each_has_its_own(tmp_path):
    """The large rectangle holds both skeletons, the small one only the first: so the large one is the second's."""
    boxes = (
        '<box label="box" xtl="20" ytl="20" xbr="130" ybr="130"/><box label="box" xtl="20" ytl="20" xbr="70" ybr="80"/>'
    )
    moved = SKELETON.replace("30,30", "90,90").replace("60,60", "120,120")
    for order in (SKELETON + moved, moved + SKELETON):
        people = read_dataset("cvat", cvat(tmp_path, order + boxes), split="train")
        boxes_of = {row["keypoints"][0][0]: row["bbox"] for row in people}
        assert boxes_of == {30: [20, 20, 50, 60], 90: [20, 20, 110, 110]}


def test_points_drawn_one_by_one_are_keypoints_by_their_labels(tmp_path):
    points = "".join(
        f'<points label="{name}" points="{x},{x}" group_id="{g}"/>'
        for g in (1, 2)
        for name, x in (("nose", 10 * g), ("tail", 40 + g))
    )
    people = read_dataset("cvat", cvat(tmp_path, points + '<polygon label="x" points="1,1;2,2;3,3"/>'), split="train")
    assert people["keypoints"][:] == [[[10, 10, 2], [41, 41, 2]], [[20, 20, 2], [42, 42, 2]]]


def test_a_shape_of_several_points_goes_by_their_order(tmp_path):
    cvat(tmp_path, '<points label="dog" points="10,20;30,40;50,60"/>')
    assert schema_of_files(tmp_path).keypoints == ("keypoint_0", "keypoint_1", "keypoint_2")
    (row,) = read_dataset("cvat", tmp_path, split="train")
    assert row["keypoints"] == [[10, 20, 2], [30, 40, 2], [50, 60, 2]]


def test_a_project_s_subsets_are_its_splits(tmp_path):
    cvat(tmp_path, SKELETON, image='subset="Validation"')
    with pytest.raises(ValueError, match="has the subsets Validation: expected one of them, got 'train'"):
        read_dataset("cvat", tmp_path, split="train")
    assert len(read_dataset("cvat", tmp_path, split="validation")) == 1


def test_a_group_of_two_skeletons_joins_nobody(tmp_path):
    grouped = SKELETON.replace('label="dog"', 'label="dog" group_id="3"')
    moved = grouped.replace("30,30", "35,35")
    assert len(read_dataset("cvat", cvat(tmp_path, grouped + moved), split="train")) == 2


def test_of_two_skeletons_one_is_chosen(tmp_path):
    other = SKELETON.replace('label="dog"', 'label="cat"').replace("tail", "paw")
    cvat(tmp_path, SKELETON + other)
    with pytest.raises(ValueError, match="several skeletons, of 'dog', 'cat': they are not pooled"):
        read_dataset("cvat", tmp_path, split="train")
    (row,) = read_dataset("cvat", tmp_path, split="train", category="cat")
    assert len(row["keypoints"]) == 2
    schema = schema_of_files(tmp_path, category="dog")
    assert len(read_dataset("cvat", tmp_path, split="train", schema=schema)) == 1  # the schema says which


def test_entities_are_not_expanded(tmp_path):
    """A few lines that would grow to gigabytes, or read another file."""
    secret = tmp_path / "secret.txt"
    secret.write_text("30,30")
    (tmp_path / "data").mkdir()
    cvat(tmp_path / "data", SKELETON.replace("30,30", "&x;"))
    file = tmp_path / "data" / "annotations.xml"
    file.write_text(f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]>' + file.read_text())
    with pytest.raises(ValueError, match="declares a document type"):
        read_dataset("cvat", file, split="train")


# labelme


def test_labelme_without_groups_goes_by_rectangles(tmp_path, caplog):
    write_photos(tmp_path, "train", PEOPLE)
    WRITTEN["labelme"].write(tmp_path, "train", PEOPLE)
    for file in (tmp_path / "train").glob("*.json"):
        content = json.loads(file.read_text())
        for shape in content["shapes"]:
            del shape["group_id"]
        content["shapes"].append({"label": "sky", "points": [[0, 0], [9, 0], [9, 9]], "shape_type": "polygon"})
        file.write_text(json.dumps(content))
    np.testing.assert_allclose(read_xy("labelme", tmp_path), points_of(PEOPLE)[..., :2])
    assert "3 shapes of the type polygon not read" in caplog.text


def test_labelme_s_files_are_called_as_photos_not_as_splits(tmp_path):
    write_photos(tmp_path, "day", PEOPLE)
    folder = WRITTEN["labelme"].write(tmp_path, "day", PEOPLE)
    (folder / "p0.json").rename(folder / "val_street.json")
    assert len(read_dataset("labelme", tmp_path, split="train")) == len(PEOPLE)


# DeepLabCut


def test_one_animal_and_paths_in_one_column(tmp_path):
    alone = [PEOPLE[0]]
    frame = dlc_frame("train", alone, single=True)
    frame.index = ["labeled-data\\train\\p0.png"]  # on Windows
    write_photos(tmp_path, "train", alone)
    place = tmp_path / "labeled-data" / "train"
    place.mkdir(parents=True)
    for suffix, write in ((".csv", frame.to_csv), (".h5", lambda file: frame.to_hdf(file, key="df_with_missing"))):
        file = place / f"CollectedData_me{suffix}"
        write(file)
        np.testing.assert_allclose(read_xy("deeplabcut", tmp_path), points_of(alone)[..., :2], atol=1e-9)
        file.unlink()


def test_videos_are_read_together(tmp_path):
    """The labeled frames of a project lie in a folder for each video; without splits in their names they are train."""
    for number, video in enumerate(("monday", "test run")):
        people = [PEOPLE[0]]
        place = tmp_path / "labeled-data" / video
        place.mkdir(parents=True)
        Image.new("RGB", people[0].size).save(place / "p0.png")
        dlc_frame(video, people).to_csv(place / "CollectedData_me.csv")
        assert len(read_dataset("deeplabcut", tmp_path, split="train")) == number + 1


def test_frames_that_deeplabcut_copied_for_training_are_not_read_twice(tmp_path):
    write_photos(tmp_path, "train", PEOPLE)
    for folder in ("labeled-data/monday", "training-datasets/iteration-0"):
        (tmp_path / folder).mkdir(parents=True)
        dlc_frame("train", PEOPLE).to_csv(tmp_path / folder / "CollectedData_me.csv")
    assert len(read_dataset("deeplabcut", tmp_path, split="train")) == len(PEOPLE)


# SLEAP


def test_predicted_instances_are_counted_and_invisible_nodes_not_labeled(tmp_path, caplog):
    write_photos(tmp_path, "train", PEOPLE)
    file = write_sleap(tmp_path, "train", PEOPLE)
    labels = sleap_io.load_slp(str(file))
    frame = labels[0]
    frame.instances.append(
        sleap_io.PredictedInstance.from_numpy(
            np.arange(10.0).reshape(5, 2) * 9, skeleton=labels.skeletons[0], score=1.0
        )
    )
    frame.instances[0].points["visible"][0] = False
    labels.save(str(file), embed=False, verbose=False)
    people = read_dataset("sleap", tmp_path, split="train")
    assert len(people) == len(PEOPLE) and people[0]["keypoints"][0] == [0, 0, 0]
    assert "1 predicted instances not read" in caplog.text


def test_frames_of_a_package_are_written_once(tmp_path, caplog):
    write_photos(tmp_path, "train", PEOPLE)
    write_sleap(tmp_path, "train", PEOPLE, embed=True)
    for photo in (tmp_path / "images" / "train").iterdir():
        photo.unlink()
    first = read_dataset("sleap", tmp_path, split="train")["image"][:]
    assert "frames of the package are written to" in caplog.text
    written = Path(first[0]["path"]).stat().st_mtime_ns
    assert read_dataset("sleap", tmp_path, split="train")["image"][:] == first
    assert Path(first[0]["path"]).stat().st_mtime_ns == written
    with Image.open(first[0]["path"]) as frame:
        assert frame.size == PEOPLE[0].size and frame.convert("RGB").getpixel((0, 0)) == (90, 30, 30)


# all


def test_keypoints_called_as_coco_s_are_coco_s(tmp_path):
    """Whatever their order and spelling: sigmas, pairs and lines come with the names."""
    coco = get_keypoint_schema("coco")
    labels = [
        f"{'L' if 'left' in name else 'R'}_{name.split('_')[1]}" if "_" in name else name for name in coco.keypoints
    ]
    points = "".join(f'<points label="{label}" points="{10 + n},30"/>' for n, label in enumerate(reversed(labels)))
    assert schema_of_files(cvat(tmp_path, f'<skeleton label="person">{points}</skeleton>')) == coco
    (row,) = read_dataset("cvat", tmp_path, split="train")
    assert [x for x, _, _ in row["keypoints"]] == [10 + 16 - n for n in range(17)]


def test_keypoints_that_a_file_lacks_are_not_labeled(tmp_path, caplog):
    people = read_dataset(
        "cvat", cvat(tmp_path, SKELETON.replace("tail", "left_eye")), split="train", schema=get_keypoint_schema("coco")
    )
    assert people[0]["keypoints"][:2] == [[30, 30, 2], [60, 60, 2]]
    assert "nobody has the schema's keypoints right_eye, left_ear" in caplog.text


def test_splits_by_folder_and_by_name(tmp_path):
    write_photos(tmp_path, "train", PEOPLE)
    file = write_label_studio(tmp_path, "train", PEOPLE)
    for name in ("VAL/export.json", "export_fold3.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(file.read_text())
    for split in ("train", "val", "fold3"):
        assert len(read_dataset("label_studio", tmp_path, split=split)) == len(PEOPLE)


def test_photos_of_the_split_s_folder_are_meant(tmp_path):
    """Photos of two splits may have the same names."""
    for split, people in (("train", PEOPLE), ("val", make_people(seed=6, photos=3))):
        write_photos(tmp_path, split, people)
        write_label_studio(tmp_path, split, people)
        rows = read_dataset("label_studio", tmp_path, split=split)
        assert all(f"/images/{split}/" in row["image"]["path"] for row in rows)


def test_the_form_of_a_file_is_known_by_its_content(tmp_path):
    write_photos(tmp_path, "train", PEOPLE)
    (tmp_path / "other").mkdir()
    write_cvat(tmp_path / "other", "train", PEOPLE)
    (tmp_path / "other" / "train" / "annotations.xml").rename(tmp_path / "job_17.xml")
    schema = schema_of_files(tmp_path / "job_17.xml", name="mine")
    assert (schema.name, schema.category, schema.keypoints) == ("mine", CATEGORY, NAMES)
