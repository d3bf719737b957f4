"""COCO files as annotation tools export them: the same people from each, and a word about what is not as in COCO.

The files of Label Studio, datumaro and sleap-io are what label-studio-sdk 2.1.2, datumaro 1.13.12 and sleap-io 0.9.5
wrote of these people; the others follow the code or the documentation of their tools.
"""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from vitpose import SyntheticPeople, get_keypoint_schema
from vitpose.base.errors import PlacedError
from vitpose.data import read_coco, read_detections, read_ground_truth, schema_from_annotations
from vitpose.metrics import coco_keypoint_metrics
from vitpose.modeling.keypoint_schemas import KeypointSchema

NAMES = ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
LINES = [[1, 2], [1, 3], [2, 4]]
OTHER = {"id": 9, "image_id": 1, "category_id": 9, "bbox": [1, 2, 40, 30], "area": 1200, "iscrowd": 0}

Person = dict
Content = dict


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> tuple[Path, list[Person]]:
    """A folder of photos, and the person of each: photo, size, box, keypoints with whole numbers."""
    folder = tmp_path_factory.mktemp("tools")
    places = [get_keypoint_schema("coco").keypoints.index(name) for name in NAMES]
    people = []
    for number, person in enumerate(SyntheticPeople(num_people=3, seed=1), start=1):
        person["image"].save(folder / f"{number}.png")
        keypoints = np.round(np.asarray(person["keypoints"])[places])
        keypoints[keypoints[:, 2] > 0, 2] = 2
        box = [float(value) for value in person["bbox"]]
        people.append({"name": f"{number}.png", "size": person["image"].size, "box": box, "keypoints": keypoints})
    return folder, people


def flat(person: Person) -> list[float]:
    return person["keypoints"].ravel().tolist()


def tight(person: Person) -> list[float]:
    points = person["keypoints"][person["keypoints"][:, 2] > 0, :2]
    return [*points.min(0).tolist(), *np.ptp(points, axis=0).tolist()]


def padded(person: Person) -> list[float]:
    left, top, width, height = tight(person)
    margin = max(width, height) / 10
    return [left - margin, top - margin, width + 2 * margin, height + 2 * margin]


def coco(people: list[Person], *, first: int = 1, **changes: Callable[[Person], object]) -> Content:
    """COCO's own form; each change gives a field of the annotations."""
    images, annotations = [], []
    for number, person in enumerate(people, start=first):
        width, height = person["size"]
        images.append({"id": number, "width": width, "height": height, "file_name": person["name"]})
        fields = {"keypoints": flat(person), "bbox": person["box"], "area": 500.0, "num_keypoints": 5, "iscrowd": 0}
        fields |= {name: change(person) for name, change in changes.items()}
        annotations.append({"id": number, "image_id": number, "category_id": 1, **fields})
    category = {"id": 1, "name": "person", "supercategory": "", "keypoints": list(NAMES), "skeleton": LINES}
    return {"images": images, "annotations": annotations, "categories": [category]}


def cvat(people):
    content = coco(
        people, bbox=tight, segmentation=lambda p: [], attributes=lambda p: {"occluded": False, "track_id": 4}
    )
    empty = {"keypoints": [], "skeleton": []}
    content["categories"] += [{"id": 2, "name": name, "supercategory": "person", **empty} for name in NAMES[:1]]
    content["categories"] += [{"id": 9, "name": "car", "supercategory": "", **empty}]
    outside = {"id": 7, "image_id": 2, "category_id": 1, "bbox": [0, 0, 0, 0], "area": 0, "keypoints": []}
    return content | {"annotations": [*content["annotations"], outside], "licenses": [], "info": {"contributor": ""}}


def label_studio(people):
    content = coco(people, first=0, bbox=tight)
    annotations = []
    for entry, person in zip(content["annotations"], people, strict=True):
        del entry["area"]
        number = 2 * entry["id"]
        rectangle = {"segmentation": [], "bbox": person["box"], "ignore": 0, "iscrowd": 0, "area": 20280.0}
        annotations.append({"id": number, "image_id": entry["image_id"], "category_id": 3, **rectangle})
        annotations.append({**entry, "id": number + 1, "category_id": 4})
    for image in content["images"]:
        image["file_name"] = f"../upload/3/0a1b2c3d-{image['file_name']}"
    keypoints = {"id": 4, "name": "default", "supercategory": "default", "keypoints": list(NAMES), "skeleton": []}
    info = {"year": 2026, "version": "1.0", "contributor": "Label Studio"}
    categories = [{"id": 3, "name": "dancer"}, keypoints]
    return {"images": content["images"], "categories": categories, "annotations": annotations, "info": info}


def coco_annotator(people):
    zeros = {"bbox": lambda p: [0, 0, 0, 0], "area": lambda p: 0}
    content = coco(people, isbbox=lambda p: False, color=lambda p: "#d52e2e", metadata=lambda p: {}, **zeros)
    content["categories"][0] |= {"metadata": {}, "color": "#30b6c3", "skeleton": [*LINES, [32, 33]]}
    outline = {**OTHER, "category_id": 1, "segmentation": [[1, 2, 41, 2, 41, 32]]}
    for image in content["images"]:
        image |= {"dataset_id": 5, "path": f"/datasets/df/{image['file_name']}", "annotated": True, "category_ids": [1]}
    return content | {"annotations": [*content["annotations"], outline]}


def roboflow(people):
    content = coco(people, first=0)
    nothing = {"id": 0, "name": "people-Qg7R", "supercategory": "none"}
    content["categories"] = [nothing, {**content["categories"][0], "supercategory": "people-Qg7R"}]
    return {
        "info": {"year": "2024", "version": "1"},
        "licenses": [{"id": 1, "url": "", "name": "CC BY 4.0"}],
        **content,
    }


def rectlabel(people):
    """Beside the keypoints points of their own, each with a box of one pixel."""
    content = coco(people, segmentation=lambda p: [])
    content["categories"].append({"id": 10, "name": "point"})
    point = {**OTHER, "category_id": 10, "area": 0, "segmentation": [[20, 30]], "bbox": [20, 30, 1, 1]}
    return content | {"annotations": [point, *content["annotations"]]}


def labelme_converter(people):
    """Skeletons counted from 0, keypoints without a visibility; ids are texts."""
    content = coco(people, keypoints=lambda p: (p["keypoints"][:, :2] * (p["keypoints"][:, 2:] > 0)).tolist())
    content["categories"][0]["skeleton"] = [[0, 1], [0, 2], [1, 3]]
    for entry in (*content["images"], *content["annotations"]):
        entry["id"] = str(entry["id"])
    return content


def x_anylabeling(people):
    """Two classes, whose keypoints are filled up with zeros to the same number."""
    content = coco(people, keypoints=lambda p: flat(p) + [0, 0, 0])
    content["categories"].append({"id": 9, "name": "dog", "keypoints": [*NAMES, "tail"], "skeleton": []})
    return content | {"annotations": [*content["annotations"], {**OTHER, "keypoints": [9, 9, 2] * 6}]}


def supervisely(people):
    return coco(people, bbox=lambda p: None, area=lambda p: 0, segmentation=lambda p: [])


def datumaro(people):
    content = coco(people)
    content["categories"].append({"id": 9, "name": "car", "supercategory": "", "keypoints": [], "skeleton": []})
    return {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": "", "year": ""}, **content}


def sleap_io(people):
    return coco(people, bbox=tight)


def fiftyone(people):
    """Neither box nor area nor the names of keypoints; visibilities of its own as true and false."""
    visible = {"keypoints": lambda p: [bool(v) if n % 3 == 2 else int(v) for n, v in enumerate(flat(p))]}
    content = coco(people, first=0, **visible)
    for entry in content["annotations"]:
        del entry["bbox"], entry["area"]
        entry["category_id"] = 0
    return content | {"categories": [{"id": 0, "name": "person", "supercategory": None}]}


def encord(people):
    content = coco(people)
    content["categories"].append({"id": 9, "name": "ball", "supercategory": "bounding_box"})
    ball = {**OTHER, "keypoints": None, "num_keypoints": None, "segmentation": []}
    return content | {"annotations": [ball, *content["annotations"]]}


def mmpose_converter(people):
    """Photos without sizes, as several of its converters write them."""
    content = coco(people)
    for image in content["images"]:
        del image["width"], image["height"]
    return content


# form, whose box its people have, words of each warning
FORMS = [
    (coco, "box", []),
    (cvat, "padded", ["1 annotations without keypoints: 1 of 'person'", "3 people .*tenth larger"]),
    (label_studio, "box", ["3 of 'dancer'", "3 people have the rectangle", "3 photos have another name"]),
    (coco_annotator, "padded", ["1 of 'person'", "3 people .*tenth larger"]),
    (roboflow, "box", []),
    (rectlabel, "box", ["1 of 'point'"]),
    (labelme_converter, "box", []),
    (x_anylabeling, "box", ["1 annotations of other keypoints: 1 of the category 'dog'"]),
    (supervisely, "padded", ["3 people .*tenth larger"]),
    (datumaro, "box", []),
    (sleap_io, "padded", ["3 people .*tenth larger"]),
    (fiftyone, "padded", ["3 people .*tenth larger"]),
    (encord, "box", ["1 of 'ball'"]),
    (mmpose_converter, "box", ["sizes of 3 photos are read from the photos"]),
]


def schema_of(names: tuple[str, ...] = NAMES) -> KeypointSchema:
    """A schema of the keypoints without anything else."""
    empty = {"flip_pairs": (), "upper_body": (), "lower_body": (), "edges": (), "sigmas": None}
    return KeypointSchema(name="mine", keypoints=names, joint_weights=(1.0,) * len(names), **empty)


def write(folder: Path, content: object, name: str = "people.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


@pytest.mark.parametrize(("form", "boxes", "warnings"), FORMS, ids=[form.__name__ for form, _, _ in FORMS])
def test_the_same_people_are_read_from_each_form(workplace, tmp_path, caplog, form, boxes, warnings):
    folder, people = workplace
    file = write(tmp_path, form(people))
    with caplog.at_level(logging.WARNING):
        read = read_coco(file, folder, schema=schema_of())
    expected = {"box": lambda person: person["box"], "padded": padded}[boxes]
    assert [Path(image["path"]).name for image in read["image"]] == [person["name"] for person in people]
    for row, person in zip(read, people, strict=True):
        points = np.array(row["keypoints"])
        np.testing.assert_array_equal(points > 0, person["keypoints"] > 0)
        np.testing.assert_array_equal(points[:, :2], person["keypoints"][:, :2])
        np.testing.assert_allclose(row["bbox"], expected(person))
        assert (row["width"], row["height"]) == person["size"]
        assert row["area"] > 0
    assert len(caplog.messages) == len(warnings), caplog.messages
    assert all(re.search(words, message) for words, message in zip(warnings, caplog.messages, strict=True))


@pytest.mark.parametrize("form", [form for form, _, _ in FORMS if form not in (x_anylabeling, fiftyone)])
def test_the_schema_is_read_from_each_form(workplace, tmp_path, caplog, form):
    schema = schema_from_annotations(write(tmp_path, form(workplace[1])), name="mine")
    assert (schema.keypoints, schema.flip_pairs) == (NAMES, ((1, 2), (3, 4)))
    assert schema.edges == (() if form is label_studio else ((0, 1), (0, 2), (1, 3)))
    assert ("[32, 33]" in caplog.text) == (form is coco_annotator)


@pytest.mark.parametrize("form", [form for form, _, _ in FORMS if form is not labelme_converter])
def test_evaluation_counts_the_people_that_were_read(workplace, tmp_path, form):
    """Keypoints as annotated are perfect results, whatever else stands in the file."""
    folder, people = workplace
    for part in ("annotations", "val"):
        (tmp_path / part).mkdir()
    for person in people:
        (tmp_path / "val" / person["name"]).symlink_to(folder / person["name"])
    write(tmp_path / "annotations", form(people), "person_keypoints_val.json")
    truth = read_ground_truth("coco", tmp_path, split="val", schema=schema_of())
    results = [
        {"image_id": image["id"], "category_id": entry["category_id"], "keypoints": flat(person), "score": 1.0}
        for image, entry, person in zip(truth["images"], truth["annotations"], people, strict=True)
    ]
    metrics = coco_keypoint_metrics(results, truth, sigmas=(0.05,) * 5)
    assert (metrics["AP"], metrics["AR"]) == (1.0, 1.0)


def read_changed(workplace, tmp_path, change: Callable[[Content], object], **choices):
    """Read COCO's own form after a change, which may return the whole text of the file."""
    folder, people = workplace
    content = coco(people)
    changed = change(content)
    file = tmp_path / "people.json"
    file.write_bytes(changed) if isinstance(changed, bytes) else write(tmp_path, content)
    return read_coco(file, folder, **{"schema": schema_of(), **choices})


def each(field: str, change: Callable[[object], object], *, of: str = "annotations") -> Callable[[Content], None]:
    """Change a field of all images or annotations."""

    def changed(content: Content) -> None:
        for entry in content[of]:
            entry[field] = change(entry.get(field))

    return changed


def first(entry: dict, *, of: str = "annotations") -> Callable[[Content], None]:
    """Change fields of the first image or annotation; None takes a field away."""

    def changed(content: Content) -> None:
        content[of][0] = {name: value for name, value in (content[of][0] | entry).items() if value is not NOTHING}

    return changed


NOTHING = object()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        pytest.param(lambda c: b"\xef\xbb\xbf" + json.dumps(c).encode(), None, id="a byte order mark"),
        pytest.param(lambda c: json.dumps(c).encode("utf-16"), None, id="UTF-16"),
        pytest.param(each("id", str), None, id="ids of annotations are texts"),
        pytest.param(each("image_id", float), None, id="ids of images have a point"),
        pytest.param(each("id", lambda value: 0), "2 annotations have no id, .* on from 1", id="the same id for all"),
        pytest.param(first({"id": NOTHING}), "1 annotations have no id, .* on from 4", id="no id"),
        pytest.param(each("category_id", str), None, id="categories are texts"),
        pytest.param(each("iscrowd", lambda value: None), None, id="iscrowd null"),
        pytest.param(each("area", lambda value: None), None, id="area null"),
        pytest.param(first({"area": "12.5"}), None, id="an area is a text"),
        pytest.param(each("bbox", lambda box: [str(value) for value in box]), None, id="boxes are texts"),
        pytest.param(each("keypoints", lambda k: np.reshape(k, (5, 3)).tolist()), None, id="nested keypoints"),
        pytest.param(each("keypoints", lambda k: [str(value) for value in k]), None, id="keypoints are texts"),
        pytest.param(
            each("keypoints", lambda k: [v if k[i - i % 3 + 2] else (None, None, 0)[i % 3] for i, v in enumerate(k)]),
            None,
            id="null for a keypoint that is not there",
        ),
        pytest.param(
            each("keypoints", lambda k: [0.3 * v if i % 3 == 2 else v for i, v in enumerate(k)]),
            "3 people have a visibility other",
            id="scores for visibilities",
        ),
        pytest.param(
            each("keypoints", lambda k: [3 if v == 2 and i % 3 == 2 else v for i, v in enumerate(k)]),
            "3 people have a visibility other",
            id="visibility 3",
        ),
        pytest.param(
            each("keypoints", lambda k: [-1 if v == 0 and i % 3 == 2 else v for i, v in enumerate(k)]),
            "people have a visibility other",
            id="visibility -1 for what is not there",
        ),
        pytest.param(each("width", lambda value: 0, of="images"), "sizes of 3 photos are read", id="width 0"),
        pytest.param(each("height", lambda value: 12.5, of="images"), "sizes of 3 photos are read", id="height 12.5"),
        pytest.param(
            lambda c: c["images"].append({"id": 50, "file_name": "not_there.png"}), None, id="a photo of nobody is away"
        ),
        pytest.param(lambda c: c["images"].append(dict(c["images"][0])), None, id="an image twice, word for word"),
        pytest.param(each("track_id", lambda value: "left"), None, id="tracks that are no numbers"),
    ],
)
def test_people_are_the_same_whatever_program_wrote_them(workplace, tmp_path, caplog, change, warning):
    with caplog.at_level(logging.WARNING):
        read = read_changed(workplace, tmp_path, change)
    assert len(read) == 3
    for row, person in zip(read, workplace[1], strict=True):
        points = np.array(row["keypoints"])
        np.testing.assert_array_equal(points[:, :2], person["keypoints"][:, :2])
        np.testing.assert_array_equal(points[:, 2] > 0, person["keypoints"][:, 2] > 0)
        assert row["bbox"] == person["box"]
        assert row["area"] in (500, 12.5, pytest.approx(person["box"][2] * person["box"][3]))
        assert (row["width"], row["height"]) == person["size"]
    assert len(set(read["person_id"])) == 3
    assert (re.search(warning, caplog.text) is not None) if warning else not caplog.messages


def test_pairs_of_coordinates_are_not_taken_for_fewer_keypoints(workplace, tmp_path):
    """Six pairs are as many numbers as four keypoints with visibilities."""
    six = schema_of((*NAMES, "tail"))
    pairs, triples = [float(value) for value in range(20, 32)], [20.0, 30.0, 2.0] * 4
    for change, choices in ((pairs, {}), (triples, {"match": "annotation 1: .*18 numbers .* got 12"})):

        def changed(content, change=change):
            del content["categories"][0]["keypoints"]
            each("keypoints", lambda _: change)(content)

        if choices:
            with pytest.raises(ValueError, **choices):
                read_changed(workplace, tmp_path, changed, schema=six)
        else:
            keypoints = read_changed(workplace, tmp_path, changed, schema=six)[0]["keypoints"]
            assert keypoints[0] == [20, 21, 2] and keypoints[5] == [30, 31, 2]


@pytest.mark.parametrize("track", [4, 4.0, "4"])
@pytest.mark.parametrize("inside", [True, False])
def test_tracks_are_whole_numbers(workplace, tmp_path, track, inside):
    field, value = ("attributes", {"track_id": track}) if inside else ("track_id", track)
    assert read_changed(workplace, tmp_path, each(field, lambda _: value))["track_id"][:] == [4, 4, 4]


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


def test_a_file_is_found_for_one_name_only_and_never_outside_the_folder(workplace, tmp_path):
    """Two folders of a data set may have photos of the same name, of which the folder has one."""
    (tmp_path / "secret.png").symlink_to(workplace[0] / "1.png")
    (tmp_path / "inside").mkdir()
    for names in (("a/1.png", "b/1.png"), ("x/../../secret.png", "file:///../secret.png")):

        def rename(content, names=names):
            for image, name in zip(content["images"], names, strict=False):
                image["file_name"] = name

        folder = workplace[0] if "1.png" in names[0] else tmp_path / "inside"
        with pytest.raises(ValueError, match="annotated images are missing: .*Check the image folder"):
            read_changed((folder, workplace[1]), tmp_path, rename)


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


def two_skeletons(content: Content) -> None:
    """A second category with keypoints of its own, and an annotation of it."""
    content["categories"].append({"id": 9, "name": "dog", "keypoints": ["snout", "tail"], "skeleton": [[1, 2]]})
    content["annotations"].append({**OTHER, "bbox": [1, 2, 90, 90], "keypoints": [9, 9, 2, 60, 60, 2]})


def test_one_of_several_skeletons_is_chosen_by_the_schema_or_by_name(workplace, tmp_path, caplog):
    assert len(read_changed(workplace, tmp_path, two_skeletons)) == 3
    assert "left out 1 annotations of other keypoints: 1 of the category 'dog'" in caplog.text
    dog = schema_from_annotations(tmp_path / "people.json", category="dog")
    assert (dog.name, dog.keypoints, dog.edges) == ("dog", ("snout", "tail"), ((0, 1),))
    for choice in ({}, {"category": "dog"}):
        assert len(read_changed(workplace, tmp_path, two_skeletons, schema=dog, **choice)) == 1


def test_categories_with_the_same_keypoints_are_together(workplace, tmp_path):
    """The species of AP-10K, in one spelling or in several."""

    def species(content):
        spelled = [name.title().replace("_", " ") for name in NAMES]
        content["categories"].append({"id": 9, "name": "dancer", "keypoints": spelled})
        content["annotations"][1]["category_id"] = 9

    assert read_changed(workplace, tmp_path, species)["category"][:] == ["person", "dancer", "person"]
    one = coco(workplace[1])
    one["categories"].append({**one["categories"][0], "id": 2, "name": "dancer"})
    assert schema_from_annotations(write(tmp_path, one)).keypoints == NAMES


def joined_people(people: list[Person]) -> Content:
    """What Label Studio exports of two people on a photo: two rectangles, and one annotation for all keypoints."""
    content = label_studio(people)
    left, right = content["annotations"][0], dict(content["annotations"][0])
    left["bbox"], right["bbox"] = [0, 0, 75, 230], [80, 0, 70, 230]
    right["id"] = 99
    content["annotations"].append(right)
    return content


def test_keypoints_of_several_people_are_not_read_as_one_person(workplace, tmp_path, caplog):
    read = read_coco(write(tmp_path, joined_people(workplace[1])), workplace[0], schema=schema_of())
    assert read["image_id"][:] == [1, 2]
    assert "left out 1 photos of several people" in caplog.text and "'label_studio'" in caplog.text


def test_a_single_keypoint_has_no_box(workplace, tmp_path, caplog):
    alone = {"keypoints": [20, 30, 2, *[0] * 12], "bbox": [20, 30, 0, 0], "area": 0}
    assert read_changed(workplace, tmp_path, first(alone))["person_id"][:] == [2, 3]
    assert "left out 1 people with neither a box nor two keypoints" in caplog.text


def test_boxes_that_end_at_the_keypoints_stay_where_others_do_not(workplace, tmp_path, caplog):
    """One may be so by chance."""
    read = read_changed(workplace, tmp_path, first({"bbox": tight(workplace[1][0])}))
    assert read["bbox"][:] == [tight(workplace[1][0]), workplace[1][1]["box"], workplace[1][2]["box"]]
    assert not caplog.messages


def test_people_in_the_first_pixel_are_left_out(workplace, tmp_path, caplog):
    read = read_changed(workplace, tmp_path, first({"keypoints": [0.5, 0.25, 2] * 5}))
    assert read["person_id"][:] == [2, 3]
    assert "left out 1 people whose keypoints all lie in the first pixel" in caplog.text


def fractions(content: Content) -> None:
    each("keypoints", lambda k: [value if i % 3 == 2 else value / 1000 for i, value in enumerate(k)])(content)


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        pytest.param(fractions, {}, "all keypoints lie between 0 and 1.*Multiply x", id="keypoints in 0 to 1"),
        pytest.param(
            each("bbox", lambda box: [value / 1000 for value in box]),
            {},
            "all boxes lie between 0 and 1.*Multiply",
            id="boxes in 0 to 1",
        ),
        pytest.param(
            each("keypoints", lambda k: None), {}, "no keypoints in its 3 annotations.*Use a keypoint file", id="boxes"
        ),
        pytest.param(
            two_skeletons,
            {"schema": schema_of(("a", "b", "c"))},
            r"found 'person' \(5\), 'dog' \(2\).*Choose one with category",
            id="several skeletons",
        ),
        pytest.param(
            two_skeletons, {"category": "dogg"}, "one of person, dog, got 'dogg'. Did you mean 'dog'", id="no such one"
        ),
        pytest.param(
            lambda c: c["categories"].append({"id": 9, "name": "car"}),
            {"category": "car"},
            "category with keypoints: expected one of person, got 'car'",
            id="a category without keypoints",
        ),
        pytest.param(first({"category_id": 77}), {}, "annotation 1 has the unknown category 77", id="a category"),
        pytest.param(first({"category_id": "car"}), {}, "annotation 1 has the unknown category car", id="a name"),
        pytest.param(first({"image_id": "x"}), {}, "annotation number 0: expected whole numbers", id="an image's id"),
        pytest.param(first({"image_id": NOTHING}), {}, "annotation 1 lacks .'image_id'", id="no image"),
        pytest.param(first({"id": "x"}, of="images"), {}, "image number 0: expected whole numbers", id="an id"),
        pytest.param(
            first({"file_name": None}, of="images"), {}, "image 1: expected a file_name, got None", id="no name"
        ),
        pytest.param(first({"keypoints": [1, 2, 2] * 4}), {}, "annotation 1: .*15 numbers .* got 12", id="4 keypoints"),
        pytest.param(first({"keypoints": [5, 2, 2] * 6}), {}, "annotation 1: .*15 numbers .* got 18", id="6 keypoints"),
        pytest.param(first({"keypoints": "5 2 2"}), {}, "annotation 1: expected numbers", id="a text of keypoints"),
        pytest.param(first({"keypoints": {"nose": [1, 2]}}), {}, "annotation 1: expected numbers", id="by name"),
        pytest.param(first({"bbox": [1, 2, 3]}), {}, "annotation 1: .*4 numbers .* got 3", id="three numbers"),
        pytest.param(first({"bbox": {"x": 1}}), {}, "annotation 1: expected numbers", id="a box by name"),
        pytest.param(first({"bbox": [9, 9, -5, 4]}), {}, "annotation 1: .*negative size", id="a box drawn upwards"),
    ],
)
def test_what_cannot_be_read_is_refused_by_file_and_entry(workplace, tmp_path, change, choices, message):
    with pytest.raises(ValueError, match=f"people.json.*{message}"):
        read_changed(workplace, tmp_path, change, **choices)


LABELME = {"version": "5.4", "shapes": [], "imagePath": "1.png", "imageData": None}
RESULT = {"image_id": 1, "category_id": 1, "score": 0.9}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([{**RESULT, "keypoints": [1, 2, 1]}], "COCO results, what a model predicted", id="results"),
        pytest.param([{**RESULT, "bbox": [1, 2, 3, 4]}], "COCO results of a detector", id="boxes of a detector"),
        pytest.param([{"id": 1, "data": {}, "annotations": []}], "read it as the dataset 'label_studio'", id="tasks"),
        pytest.param([{"image": "a", "annotation_id": 1, "lead_time": 2}], "JSON-MIN of Label Studio", id="JSON-MIN"),
        pytest.param(LABELME, "labelme or X-AnyLabeling: read its folder as the dataset 'labelme'", id="labelme"),
        pytest.param({"_via_img_metadata": {}}, "a project of VIA: export COCO", id="VIA"),
        pytest.param({"version": 1.3, "people": []}, "JSON of OpenPose", id="OpenPose"),
        pytest.param({"objects": [], "size": {}}, "JSON of Supervisely: export COCO keypoints", id="Supervisely"),
        pytest.param({"version": "2.0", "item": {}, "annotations": []}, "V7 Darwin: export COCO", id="V7"),
        pytest.param({"infos": {}, "categories": {}, "items": []}, "Datumaro's own JSON", id="Datumaro"),
        pytest.param({"meta_info": {}, "instance_info": []}, "predictions of MMPose", id="MMPose"),
        pytest.param({"skeletons": [], "videos": []}, "read the .slp file as the dataset 'sleap'", id="SLEAP"),
        pytest.param([{"joints": [], "joints_vis": [], "center": []}], "as the dataset 'mpii'", id="MPII"),
        pytest.param({"images": [], "annotations": [{"caption": "a"}]}, "COCO captions", id="captions"),
        pytest.param({"images": [], "annotations": [{"segments_info": []}]}, "COCO panoptic", id="panoptic"),
        pytest.param({"images": [], "annotations": 3}, "in COCO layout: expected an object", id="none that is known"),
    ],
)
def test_a_file_of_another_form_is_called_by_its_name(tmp_path, content, message):
    file = write(tmp_path, content)
    with pytest.raises(ValueError, match=f"people.json is .*{message}"):
        read_coco(file, tmp_path, schema=schema_of())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("annotations.xml", "the dataset 'cvat'"),
        ("data.yaml", "the dataset 'yolo'"),
        ("CollectedData.csv", "the dataset 'deeplabcut'"),
        ("CollectedData.h5", "the dataset 'deeplabcut'"),
        ("labels.slp", "the dataset 'sleap'"),
        ("export.zip", "unpack it"),
        ("labels", "a folder, .*'labelme'"),
    ],
)
def test_a_file_that_is_no_json_is_called_by_its_name(tmp_path, name, message):
    (tmp_path / name).write_text("x") if "." in name else (tmp_path / name).mkdir()
    for door in (lambda file: read_coco(file, tmp_path, schema=schema_of()), schema_from_annotations):
        with pytest.raises(ValueError, match=f"{name} is .*{message}.*Expected JSON in COCO layout"):
            door(tmp_path / name)


@pytest.mark.parametrize(
    ("skeleton", "edges", "left_out"),
    [
        pytest.param([[1, 2], [4, 5]], [(0, 1), (3, 4)], 0, id="from 1"),
        pytest.param([[0, 1], [3, 4]], [(0, 1), (3, 4)], 0, id="from 0"),
        pytest.param([[0, 1], [1, 5]], [(0, 4)], 1, id="0 beside the last one counted from 1"),
        pytest.param([[1, 1], [2, 3]], [(1, 2)], 1, id="a keypoint with itself"),
        pytest.param([[1, 2], [2, 1], [1, 2]], [(0, 1)], 0, id="the same line again"),
        pytest.param([[1, 2], [7, 2], [-1, 2]], [(0, 1)], 2, id="keypoints that there are not"),
        pytest.param([["1", "2"], [2.0, 3.0]], [(0, 1), (1, 2)], 0, id="numbers as texts"),
        pytest.param([["nose", "left_wrist"], ["nose", "tail"]], [(0, 1)], 1, id="names"),
        pytest.param([{"from": 1, "to": 2}], [(0, 1)], 0, id="objects"),
        pytest.param({"a": [1, 2], "b": [1]}, [(0, 1)], 1, id="an object of lines"),
        pytest.param([1, None, [1, 2, 3], [True, 2]], [], 4, id="no lines at all"),
        pytest.param(None, [], 0, id="null"),
        pytest.param("1-2", [], 1, id="a text"),
    ],
)
def test_odd_lines_of_a_skeleton_are_left_out(tmp_path, caplog, skeleton, edges, left_out):
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "p", "keypoints": list(NAMES)}]}
    content["categories"][0]["skeleton"] = skeleton
    schema = schema_from_annotations(write(tmp_path, content))
    assert list(schema.edges) == edges
    assert f"left out {left_out} lines" in caplog.text if left_out else not caplog.messages


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        pytest.param([{"id": 1, "name": "person"}], "found none among 'person'. Export keypoints", id="none"),
        pytest.param("person", "found none. Export", id="no list"),
        pytest.param([{"name": "p", "keypoints": ["a", "a"]}], "each entry once, got .'a'.", id="a name twice"),
        pytest.param([{"name": "p", "keypoints": ["a", ""]}], "non-empty strings", id="an empty name"),
    ],
)
def test_a_schema_that_cannot_be_made_names_the_file(tmp_path, categories, message):
    with pytest.raises(ValueError, match=f"people.json.*{message}"):
        schema_from_annotations(write(tmp_path, {"images": [], "annotations": [], "categories": categories}))
