"""What the readers of tools refuse, each with the file, the entry and the remedy."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pandas
import pytest
import yaml
from PIL import Image
from tool_files import CATEGORY, NAMES, WRITTEN, dlc_frame, make_people, write_photos

from vitpose.base.errors import PlacedError
from vitpose.training.data.loading import read_dataset, schema_of_files
from vitpose.training.data.photo_folder import PhotoFolder
from vitpose_cli.main import main

PEOPLE = make_people(seed=3, photos=3)


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def edit_json(change: Callable) -> Callable[[Path], None]:
    """An edit of a JSON file by a function of its content."""

    def edit(file: Path) -> None:
        file = next(iter(sorted(file.glob("*.json")))) if file.is_dir() else file
        content = json.loads(file.read_text())
        changed = change(content)
        file.write_text(json.dumps(content if changed is None else changed))

    return edit


def edit_text(pattern: str, replacement: str, *, count: int = 1) -> Callable[[Path], None]:
    """An edit of a text file by a regular expression."""

    def edit(file: Path) -> None:
        text = file.read_text()
        changed = re.sub(pattern, replacement, text, count=count)
        assert changed != text
        file.write_text(changed)

    return edit


def edit_yaml(**changes) -> Callable[[Path], None]:
    """An edit of keys of a YAML file; None removes one."""

    def edit(file: Path) -> None:
        content = yaml.safe_load(file.read_text()) | changes
        file.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))

    return edit


def edit_labels(pattern: str, replacement: str) -> Callable[[Path], None]:
    """An edit of the text file of YOLO's first photo."""
    edit = edit_text(pattern, replacement)
    return lambda file: edit(file.parent / "labels" / "train" / "p0.txt")


def first_result(tasks: list) -> dict:
    return tasks[0]["annotations"][0]["result"][0]


def first_point(tasks: list) -> dict:
    return next(entry for entry in tasks[0]["annotations"][0]["result"] if entry["type"] == "keypointlabels")


def without_links(tasks: list) -> None:
    """All rectangles as large as the photo, and keypoints without a link."""
    for entry in tasks[1]["annotations"][0]["result"]:
        entry.pop("parentID", None)
        if entry["type"] == "rectanglelabels":
            entry["value"] |= {"x": 0, "y": 0, "width": 100, "height": 100}


def without_rectangles(tasks: list) -> None:
    made = tasks[1]["annotations"][0]
    made["result"] = [entry for entry in made["result"] if entry["type"] != "rectanglelabels"]
    for entry in made["result"]:
        entry.pop("parentID", None)


def second_category(tasks: list) -> None:
    result = tasks[0]["annotations"][0]["result"]
    rectangle = json.loads(json.dumps(first_result(tasks)))
    rectangle |= {"id": "other"}
    rectangle["value"]["rectanglelabels"] = ["dog"]
    point = json.loads(json.dumps(first_point(tasks)))
    point |= {"id": "tail", "parentID": "other"}
    point["value"]["keypointlabels"] = ["tail"]
    result += [rectangle, point]


def turn_photo(file: Path) -> None:
    """A photo with its sides exchanged."""
    for folder in (file.parent, *file.parents):
        photo = folder / "images" / "train" / "p0.png"
        if photo.is_file():
            with Image.open(photo) as opened:
                turned = opened.transpose(Image.Transpose.ROTATE_90)
            turned.save(photo)
            return
    raise AssertionError(file)


def remove_photo(file: Path) -> None:
    next(folder for folder in (file, *file.parents) if (folder / "images").is_dir()).joinpath(
        "images", "train", "p0.png"
    ).unlink()


def damage(file: Path) -> None:
    file = next(iter(sorted(file.glob("*.json")))) if file.is_dir() else file
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


LINE = r"labels/train/p0\.txt: line 1: "
REFUSED = [
    # form, what is changed, what is said
    ("yolo", damage, r"data\.yaml"),
    (
        "yolo",
        edit_yaml(kpt_shape=None),
        r"data\.yaml has no kpt_shape, so it is YOLO data for detection or seg",
    ),
    ("yolo", edit_yaml(kpt_shape=[5, 4]), r"expected kpt_shape: \[keypoints, 2 or 3\], got \[5, 4\]"),
    ("yolo", edit_yaml(kpt_names={0: ["a"]}), r"data\.yaml: expected 5 different kpt_names of class 0, got \['a'\]"),
    ("yolo", edit_yaml(flip_idx=[0, 1]), r"expected flip_idx to hold each number from 0 to 4 once, got \[0, 1\]"),
    ("yolo", edit_yaml(flip_idx=[1, 2, 0, 3, 4]), r"flip_idx exchanges keypoints in rings, expected pairs"),
    ("yolo", edit_yaml(names=3.5), r"data\.yaml: expected names as a list or by number, got 3\.5"),
    ("yolo", edit_yaml(train="images/gone"), r"data\.yaml: train: there is no images/gone in .*Check path"),
    ("yolo", edit_yaml(train="/etc"), r"data\.yaml: train: .*leads outside the data folder .*Give the folder"),
    ("yolo", edit_yaml(train="../../x"), r"data\.yaml: train: .*leads outside the data folder"),
    ("yolo", edit_yaml(train=None, val="images/train"), r"has the splits val: expected one of them, got 'train'"),
    ("yolo", edit_labels(r"^0 ", "7 "), LINE + "expected a class of 0 dancer, got 7. Add it to names"),
    (
        "yolo",
        edit_labels(r"^0 (\S+ \S+ \S+ \S+) .*", r"0 \1"),
        LINE + ".*got 5. It is a line for detection. Exp",
    ),
    ("yolo", edit_labels(r"^0 .*", "0 .1 .1 .2 .2 .3 .3"), LINE + ".*It may be a polygon for segmentation"),
    ("yolo", edit_labels(r"^0 \S+", "0 five"), LINE + "expected numbers, got"),
    ("yolo", edit_labels(r"^0 \S+", "0 nan"), LINE + "expected finite numbers"),
    ("yolo", edit_labels(r"^0 \S+", "0 320.5"), LINE + "expected shares of the photo's sides, from 0 to 1, got 320.5"),
    ("yolo", edit_labels(r" 2(\.0)?\b", " 3"), LINE + "a visibility other than 0, 1 or 2"),
    ("label_studio", damage, r"train\.json is not valid JSON, perhaps an unfinished file"),
    ("label_studio", edit_json(lambda tasks: [*tasks, 1]), r"train\.json: task number 3: expected an object, got 1"),
    (
        "label_studio",
        edit_json(lambda tasks: tasks[0].update(annotations=[7])),
        "task 1: expected a list of anno",
    ),
    (
        "label_studio",
        edit_json(lambda tasks: tasks[0]["annotations"][0].update(result=None)),
        "expected a list of res",
    ),
    ("label_studio", edit_json(lambda tasks: tasks[0].update(data={"text": "x"})), "task 1: it names no photo"),
    (
        "label_studio",
        edit_json(lambda tasks: first_result(tasks).update(image_rotation=90)),
        "task 1: region box0: the photo was turned by 90 degrees in the tool, which is not supported. Turn the file",
    ),
    (
        "label_studio",
        edit_json(lambda tasks: first_point(tasks)["value"].update(x="5")),
        "task 1: region box0nose: expected numbers for x, y, got",
    ),
    (
        "label_studio",
        edit_json(lambda tasks: first_point(tasks)["value"].update(x=431.0)),
        "region box0nose: expected percentages of the photo for x, y",
    ),
    (
        "label_studio",
        edit_json(lambda tasks: first_point(tasks)["value"].update(keypointlabels=[])),
        "region box0nose: a keypoint without a label. Give it one, or remove it",
    ),
    (
        "label_studio",
        edit_json(lambda tasks: first_result(tasks).update(original_width=10)),
        r"task 1: its regions are of photos of the sizes .* expected one",
    ),
    (
        "label_studio",
        edit_json(without_links),
        r"task 2: region .*lies in 2 of 2 rectangles .*cannot tell which person it belongs to.*Link it",
    ),
    (
        "label_studio",
        edit_json(without_rectangles),
        r"task 2: .*the same person has '\w+' twice.*rectangle",
    ),
    (
        "label_studio",
        edit_json(second_category),
        "has several skeletons, of 'dancer', 'dog'.*with --category",
    ),
    (
        "label_studio",
        turn_photo,
        r"task 1: the annotations are of a photo of .* It was annotated without its EXIF rotation",
    ),
    ("label_studio", remove_photo, r"task 1: there is no photo 'p0.png|task 1: there is no photo .*p0\.png'"),
    ("cvat", damage, r"annotations\.xml is not valid XML, perhaps an unfinished file"),
    (
        "cvat",
        edit_text(r"\?>", '?><!DOCTYPE a [<!ENTITY b "c">]>'),
        r"annotations\.xml declares a document type",
    ),
    (
        "cvat",
        edit_text("<annotations>(.*)</annotations>", r"<notes><annotations></annotations>\1</notes>"),
        "is not of CVAT",
    ),
    (
        "cvat",
        edit_text("</meta>", '</meta><track id="0"/>'),
        "is 'CVAT for video 1.1', with tracks. Export .*",
    ),
    ("cvat", edit_text("<image .*</image>", ""), "has no images. Export the task as 'CVAT for images 1.1'"),
    (
        "cvat",
        edit_text(' points="[^"]*"', ' points="1"'),
        r"shape number 0: point nose: expected points='x,y'",
    ),
    ("cvat", edit_text(' xtl="[^"]*"', ' xtl="left"'), "shape number 1: expected a number for xtl, got 'left'"),
    (
        "cvat",
        edit_text(" xtl=", ' rotation="askew" xtl='),
        "shape number 1: expected a number for rotation, got 'askew'",
    ),
    ("cvat", edit_text(' width="[^"]*"', ""), "image 'train/p0.png': expected a number for width, got None"),
    ("cvat", edit_text(' width="[^"]*"', ' width="40"'), "the annotations are of a photo of 40 x .*Use the photo"),
    ("cvat", edit_text("<image ", '<image subset="test" ', count=0), "has the subsets test: expected .*got 'train'"),
    ("cvat", remove_photo, "image 'train/p0.png': there is no photo 'train/p0.png' below .*Put it there"),
    ("labelme", damage, r"p0\.json is not valid JSON"),
    (
        "labelme",
        edit_json(lambda content: content.update(imagePath=None)),
        "is not of labelme: expected an object",
    ),
    ("labelme", edit_json(lambda content: content["shapes"].append(3)), "shape number .*expected an object with label"),
    (
        "labelme",
        edit_json(lambda content: content["shapes"][0].update(points=[[1, 2]])),
        r"p0\.json: shape number 0: expected 2 or 4 points x, y of a rectangle, got \[\[1, 2\]\]",
    ),
    (
        "labelme",
        edit_json(lambda content: content["shapes"].append(dict(content["shapes"][1]))),
        "the same person has 'nose' twice. Remove one, or say",
    ),
    (
        "labelme",
        edit_json(lambda content: content["shapes"].append(dict(content["shapes"][0]))),
        "one person has two rectangles. Remove one, or their common group",
    ),
    ("labelme", turn_photo, r"p0\.json: the annotations are of a photo of .*without its EXIF rotation"),
    (
        "deeplabcut",
        edit_text("bodyparts,", "parts,"),
        "DeepLabCut, CollectedData as CSV or H5 for the split",
    ),
    ("deeplabcut", edit_text(",y\n", ",likelihood\n"), "holds predictions of DeepLabCut .*, not labeled frames"),
    (
        "deeplabcut",
        edit_text(",y\n", ",z\n"),
        r"CollectedData_me\.csv: expected the coords x and y of each",
    ),
    ("deeplabcut", edit_text(r"(p0\.png,)[\d.]+", r"\1here"), r"CollectedData_me\.csv: line 5: expected numbers"),
    ("deeplabcut", edit_text(r"(p0\.png,)[\d.]+", r"\1"), "individual animal0: 'nose' has one coordinate of two"),
    ("deeplabcut", edit_text(r"(p0\.png),", r"\1,7,"), r"line 5: expected 30 figures, got 31. Correct or remove"),
    ("deeplabcut", remove_photo, r"line 5: there is no photo 'labeled-data/train/p0.png' below"),
    ("deeplabcut_h5", damage, r"CollectedData_me\.h5 is not a table of DeepLabCut in HDF5: .*Give the \.csv beside it"),
    ("sleap", damage, r"train\.slp is not a file of SLEAP, or it is damaged"),
    ("sleap", remove_photo, r"train\.slp: video 0: frame 0: there is no photo .*p0\.png' below"),
]


@pytest.mark.parametrize(("key", "edit", "message"), REFUSED, ids=[f"{row[0]}-{row[2][:40]}" for row in REFUSED])
def test_what_cannot_be_read_is_refused_by_name(tmp_path, key, edit, message):
    folder = tmp_path / "data"
    write_photos(folder, "train", PEOPLE)
    file = WRITTEN[key].write(folder, "train", PEOPLE)
    edit(file)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read_dataset(WRITTEN[key].form, folder, split="train")


@pytest.mark.parametrize(
    ("form", "name", "content", "message"),
    [
        ("label_studio", "a.json", '{"images": []}', "is not Label Studio's JSON: expected a list of tasks, got dict"),
        ("cvat", "a.xml", "<mujoco/>", "is not of CVAT: expected the element annotations, got mujoco"),
        ("labelme", "a.json", '{"images": []}', "is not of labelme: expected an object with shapes and imagePath"),
        ("yolo", "a.yaml", "task: pose", "does not describe YOLO data: expected names, kpt_shape"),
        ("deeplabcut", "a.csv", "x,y\n1,2\n", "is not of DeepLabCut: expected the rows scorer, bodyparts and coords"),
        ("sleap", "a.slp", "text", "is not a file of SLEAP, or it is damaged"),
        ("cvat", "a.zip", "PK", "is an archive: unpack it, photos included, and give its folder"),
    ],
)
def test_a_file_of_something_else_is_refused_as_that(tmp_path, form, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name} {message}"):
        read_dataset(form, tmp_path / name, split="train")


def test_an_entry_that_is_refused_is_its_place(tmp_path):
    """Programs read the file and the entry from the error, not from its text."""
    write_photos(tmp_path, "train", PEOPLE)
    file = WRITTEN["yolo"].write(tmp_path, "train", PEOPLE)
    edit_labels(r"^0 ", "7 ")(file)
    with pytest.raises(PlacedError) as caught:
        read_dataset("yolo", tmp_path, split="train")
    assert caught.value.place == (str(tmp_path / "labels" / "train" / "p0.txt"), "line 1")


@pytest.mark.parametrize("key", WRITTEN)
def test_other_keypoints_than_the_schema_s_are_named(tmp_path, key):
    write_photos(tmp_path, "train", PEOPLE)
    WRITTEN[key].write(tmp_path, "train", PEOPLE)
    from vitpose import get_keypoint_schema

    with pytest.raises(ValueError, match=r"has other keypoints than the schema 'aic' with 14: nose.*vitpose schema"):
        read_dataset(WRITTEN[key].form, tmp_path, split="train", schema=get_keypoint_schema("aic"))


def test_photos_of_one_name_are_not_chosen_among(tmp_path):
    write_photos(tmp_path, "train", PEOPLE)
    write_photos(tmp_path, "other", PEOPLE)
    for folder in ("train", "other"):
        os.rename(tmp_path / "images" / folder, tmp_path / "images" / f"{folder} day")
    WRITTEN["label_studio"].write(tmp_path, "train", PEOPLE)
    with pytest.raises(ValueError, match=r"may be images/other day/p0.png, images/train day/p0.png, .*Keep one"):
        read_dataset("label_studio", tmp_path, split="train")


def test_a_boxes_file_of_a_detector_needs_coco_s_ids(tmp_path):
    with pytest.raises(ValueError, match="boxes: a detector's boxes name photos by COCO's ids, which Ultralytics YOLO"):
        read_dataset("yolo", tmp_path, split="train", boxes="boxes.json")


@pytest.mark.parametrize(
    ("names", "split", "message"),
    [
        (
            ["a.json"],
            "val",
            r"expected \*\.json of Label Studio.* for the split 'val', found a\.json. Call the file",
        ),
        (["a.json", "b.json"], "train", r"expected one file of Label Studio.*'train', found a\.json, b\.json"),
        (["train.json", "old/train.json"], "train", r"found old/train\.json, train\.json"),
        (["train.json"], "val", r"for the split 'val', found train\.json"),
        ([], "train", "found nothing of it"),
    ],
)
def test_splits_that_are_not_told_are_asked_for(tmp_path, names, split, message):
    """Nothing is divided, and nobody is evaluated on what they were trained on without saying so."""
    write_photos(tmp_path, "train", PEOPLE)
    file = WRITTEN["label_studio"].write(tmp_path, "train", PEOPLE)
    content = file.read_text()
    file.unlink()
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_dataset("label_studio", tmp_path, split=split)


def test_a_folder_of_two_tools_is_asked_about(tmp_path, capsys):
    write_photos(tmp_path, "train", PEOPLE)
    WRITTEN["yolo"].write(tmp_path, "train", PEOPLE)
    WRITTEN["cvat"].write(tmp_path, "train", PEOPLE)
    assert main(["schema", str(tmp_path), "--out", str(tmp_path / "s.json")]) == 2
    assert "has files of several forms: Ultralytics YOLO pose" in capsys.readouterr().err


def test_a_dataset_of_one_skeleton_has_no_category_to_choose(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "mpii_val.json").write_text("[]")
    with pytest.raises(ValueError, match="category: MPII Human Pose has one skeleton, got 'dog'. Leave it out"):
        read_dataset("mpii", tmp_path, split="val", category="dog")


def test_a_name_that_is_near_a_form_s_is_suggested(tmp_path):
    with pytest.raises(ValueError, match=r"got 'labelstudio'. Did you mean 'label_studio'\?"):
        read_dataset("labelstudio", tmp_path, split="train")


@pytest.mark.parametrize(
    ("key", "module", "extra"), [("sleap", "sleap_io", "sleap"), ("deeplabcut_h5", "h5py", "deeplabcut")]
)
def test_a_package_that_is_missing_is_called_by_its_extra(tmp_path, monkeypatch, key, module, extra):
    write_photos(tmp_path, "train", PEOPLE)
    WRITTEN[key].write(tmp_path, "train", PEOPLE)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"vitpose\[{extra}\]"):
        read_dataset(WRITTEN[key].form, tmp_path, split="train")


def test_frames_of_a_video_are_asked_for_as_a_package(tmp_path):
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=list(NAMES), name=CATEGORY)
    video = sleap_io.Video(filename="walk.mp4", open_backend=False)
    instance = sleap_io.Instance.from_numpy(np.arange(10.0).reshape(5, 2), skeleton=skeleton)
    frame = sleap_io.LabeledFrame(video=video, frame_idx=4, instances=[instance])
    sleap_io.Labels(labeled_frames=[frame]).save(str(tmp_path / "train.slp"), verbose=False)
    assert schema_of_files(tmp_path).keypoints == NAMES
    with pytest.raises(ValueError, match=r"frame 4: it is a frame of the video walk\.mp4, which is not.*pkg\.slp"):
        read_dataset("sleap", tmp_path, split="train")


def test_body_parts_of_single_animals_are_a_skeleton_of_their_own(tmp_path):
    frame = dlc_frame("train", PEOPLE)
    extra = frame.iloc[:, :2].copy()
    pairs = [("me", "single", "door", axis) for axis in "xy"]
    extra.columns = pandas.MultiIndex.from_tuples(pairs, names=frame.columns.names)
    place = tmp_path / "labeled-data" / "train"
    place.mkdir(parents=True)
    write_photos(tmp_path, "train", PEOPLE)
    frame.join(extra).to_csv(place / "CollectedData_me.csv")
    with pytest.raises(ValueError, match="has several skeletons, of 'animal', 'single'"):
        read_dataset("deeplabcut", tmp_path, split="train")
    assert len(read_dataset("deeplabcut", tmp_path, split="train", category="animal")) == len(PEOPLE)


def test_a_photo_of_another_folder_is_not_taken(tmp_path):
    """Frames of two videos have the same names; the frames of one of them are absent."""
    place = tmp_path / "labeled-data" / "monday"
    place.mkdir(parents=True)
    Image.new("RGB", PEOPLE[0].size).save(place / "p0.png")
    frames = pandas.concat([dlc_frame(video, PEOPLE[:1]) for video in ("monday", "tuesday")])
    frames.to_csv(place / "CollectedData_me.csv")
    message = r"line 6: there is no photo 'labeled-data/tuesday/p0.png' .*monday/p0.png is of another folder"
    with pytest.raises(PlacedError, match=message):
        read_dataset("deeplabcut", tmp_path, split="train")


def test_a_photo_is_not_taken_for_two_names(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "1.png")
    photos = PhotoFolder(tmp_path)
    for name in ("D:\\monday\\1.png", "D:/monday/1.png"):
        assert photos.find(name, ("file",)) == str(tmp_path / "1.png")
    with pytest.raises(PlacedError, match=r"photo '/tuesday/1.png' would be .*1.png, which is 'D:.*monday.*already"):
        photos.find("/tuesday/1.png", ("file",))


@pytest.mark.parametrize("val", ["images/train", ["./images/train/"], "list.txt"])
def test_yolo_s_photos_to_train_on_are_not_those_to_evaluate_on(tmp_path, caplog, val):
    write_photos(tmp_path, "train", PEOPLE)
    file = WRITTEN["yolo"].write(tmp_path, "train", PEOPLE)
    (tmp_path / "list.txt").write_text("".join(f"images/train/p{number}.png\n" for number in range(3)))
    edit_yaml(val=val)(file)
    assert len(read_dataset("yolo", tmp_path, split="train")) == len(PEOPLE)
    with pytest.raises(PlacedError, match=r"val: the photos of train and val are the same.*Give each its own photos"):
        read_dataset("yolo", tmp_path, split="val")
    (tmp_path / "list.txt").write_text("images/train/p0.png\n")
    edit_yaml(train="list.txt", val="images/train")(file)
    assert len(read_dataset("yolo", tmp_path, split="val")) == len(PEOPLE)
    assert "1 of 3 photos of val are photos of train too" in caplog.text
