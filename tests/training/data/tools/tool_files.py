"""Files of annotation tools, rebuilt from the tools' documentation for generated people.

Every writer takes the same people and writes `FOLDER/images/SPLIT/*.png` and what its tool would. `KEEPS` says what a
form can hold: boxes, and whether a labeled keypoint is hidden.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas
import yaml
from PIL import Image

NAMES = ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
PAIRS = ((1, 2), (3, 4))
EDGES = ((0, 1), (0, 2), (1, 3))
CATEGORY = "dancer"


@dataclass(frozen=True, kw_only=True)
class Someone:
    """A person of the tests: photo's name and size, box, and keypoints x, y, v."""

    photo: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    keypoints: list[list[float]] = field(default_factory=list)


def make_people(*, photos: int = 4, seed: int = 0, most: int = 3) -> list[Someone]:
    """People side by side in photos of different sizes, some keypoints hidden, some not labeled."""
    rng = np.random.default_rng(seed)
    people = []
    for number in range(photos):
        size = (int(rng.integers(300, 400)), int(rng.integers(150, 300)))
        for place in range(1 + number % most):
            left, top = 100 * place + rng.uniform(0, 10), rng.uniform(5, 20)
            box = (left, top, rng.uniform(70, 85), rng.uniform(100, 120))
            points = np.column_stack([rng.uniform(0.05, 0.95, (len(NAMES), 2)), rng.integers(0, 3, len(NAMES))])
            points[:, :2] = points[:, :2] * box[2:] + box[:2]
            points[:3, 2] = (2, 1, 2)  # so that each has a box of its own
            points[points[:, 2] == 0] = 0
            people.append(Someone(photo=f"p{number}.png", size=size, box=box, keypoints=points.tolist()))
    return people


def by_photo(people: list[Someone]) -> list[tuple[str, list[Someone]]]:
    return [(photo, list(found)) for photo, found in groupby(people, key=lambda person: person.photo)]


def write_photos(folder: Path, split: str, people: list[Someone]) -> None:
    place = folder / "images" / split
    place.mkdir(parents=True, exist_ok=True)
    for person in people:
        Image.new("RGB", person.size, (90, 30, 30)).save(place / person.photo)


def write_yolo(folder: Path, split: str, people: list[Someone]) -> Path:
    """Text files of people and `data.yaml`, which gains the split."""
    file = folder / "data.yaml"
    config = yaml.safe_load(file.read_text()) if file.exists() else {"path": "."}
    config |= {split: f"images/{split}", "names": {0: CATEGORY}, "kpt_shape": [len(NAMES), 3]}
    config |= {"flip_idx": [0, 2, 1, 4, 3], "kpt_names": {0: list(NAMES)}}
    file.write_text(yaml.safe_dump(config))
    (folder / "labels" / split).mkdir(parents=True)
    for photo, found in by_photo(people):
        lines = []
        for person in found:
            (left, top, width, height), (across, down) = person.box, person.size
            box = [(left + width / 2) / across, (top + height / 2) / down, width / across, height / down]
            points = [value for x, y, v in person.keypoints for value in (x / across, y / down, v)]
            lines.append(" ".join(map(repr, [0, *box, *points])))
        (folder / "labels" / split / photo).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return file


def _region(kind: str, number: str, size: tuple[int, int], **value) -> dict:
    place = {"x", "y", "width", "height"}
    scaled = {
        key: 100 * figure / size[key in ("y", "height")] if key in place else figure for key, figure in value.items()
    }
    sides = {"original_width": size[0], "original_height": size[1], "image_rotation": 0}
    return {"id": number, "type": kind, "value": scaled, "to_name": "image", "from_name": kind, **sides}


def label_studio_results(people: list[Someone]) -> list[dict]:
    """The regions of one photo: a rectangle a person, its keypoints linked by `parentID`, hidden ones by a choice."""
    results = []
    for person_number, person in enumerate(people):
        rectangle = f"box{person_number}"
        left, top, width, height = person.box
        box = {"x": left, "y": top, "width": width, "height": height, "rotation": 0, "rectanglelabels": [CATEGORY]}
        results.append(_region("rectanglelabels", rectangle, person.size, **box))
        for name, (x, y, v) in zip(NAMES, person.keypoints, strict=True):
            if v:
                number = f"{rectangle}{name}"
                point = _region("keypointlabels", number, person.size, x=x, y=y, keypointlabels=[name])
                results.append(point | {"parentID": rectangle})
                if v == 1:
                    results.append({"id": number, "type": "choices", "value": {"choices": ["occluded"]}})
    return results


def write_label_studio(folder: Path, split: str, people: list[Someone]) -> Path:
    tasks = []
    for number, (photo, found) in enumerate(by_photo(people), start=1):
        made = {"id": number, "was_cancelled": False, "ground_truth": False, "result": label_studio_results(found)}
        data = {"image": f"/data/upload/1/0a1b2c3d-{photo}"}
        tasks.append({"id": number, "data": data, "annotations": [made], "predictions": []})
    file = folder / f"project-1-{split}.json"
    file.write_text(json.dumps(tasks))
    return file


def write_label_studio_min(folder: Path, split: str, people: list[Someone]) -> Path:
    tasks = []
    for number, (photo, found) in enumerate(by_photo(people), start=1):
        task = {"image": f"/data/local-files/?d=images/{split}/{photo}", "id": number, "annotator": 1}
        for entry in label_studio_results(found):
            if entry["type"] != "choices":
                sides = {key: entry[key] for key in ("original_width", "original_height")}
                task.setdefault(entry["from_name"], []).append(entry["value"] | sides)
        tasks.append(task)
    file = folder / f"min_{split}.json"
    file.write_text(json.dumps(tasks))
    return file


def write_cvat(folder: Path, split: str, people: list[Someone]) -> Path:
    nodes = "".join(
        f'<circle r="0.7" data-type="element node" data-element-id="{n}" data-node-id="{n}" data-label-name="{name}"/>'
        for n, name in enumerate(NAMES, start=1)
    )
    lines = "".join(f'<line data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"/>' for a, b in EDGES)
    labels = [f"<label><name>{CATEGORY}</name><type>skeleton</type><svg>{escape(lines + nodes)}</svg></label>"]
    labels += [f"<label><name>{name}</name><type>points</type><parent>{CATEGORY}</parent></label>" for name in NAMES]
    labels.append("<label><name>dancer box</name><type>rectangle</type></label>")
    images = []
    for number, (photo, found) in enumerate(by_photo(people)):
        shapes = []
        for group, person in enumerate(found, start=1):
            points = "".join(
                f'<points label="{name}" outside="{int(v == 0)}" occluded="{int(v == 1)}" points="{x!r},{y!r}"/>'
                for name, (x, y, v) in zip(NAMES, person.keypoints, strict=True)
            )
            left, top, width, height = person.box
            sides = f'xtl="{left!r}" ytl="{top!r}" xbr="{left + width!r}" ybr="{top + height!r}"'
            shapes.append(f'<skeleton label="{CATEGORY}" z_order="0" group_id="{group}">{points}</skeleton>')
            shapes.append(f'<box label="dancer box" occluded="0" {sides} group_id="{group}"/>')
        width, height = found[0].size
        attributes = f'id="{number}" name="{split}/{photo}" width="{width}" height="{height}"'
        images.append(f"<image {attributes}>{''.join(shapes)}</image>")
    meta = f"<meta><task><name>t</name><labels>{''.join(labels)}</labels></task></meta>"
    file = folder / split / "annotations.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    file.write_text(f"{head}{meta}{''.join(images)}</annotations>")
    return file


def write_labelme(folder: Path, split: str, people: list[Someone]) -> Path:
    (folder / split).mkdir(parents=True, exist_ok=True)
    for photo, found in by_photo(people):
        shapes = []
        for group, person in enumerate(found):
            left, top, width, height = person.box
            corners = [[left + width, top + height], [left, top]]  # drawn from below
            box = {"label": CATEGORY, "points": corners, "shape_type": "rectangle", "group_id": group, "flags": {}}
            shapes.append(box)
            for name, (x, y, v) in zip(NAMES, person.keypoints, strict=True):
                point = {"label": name, "points": [[x, y]], "shape_type": "point", "group_id": group}
                shapes += [point | {"flags": {"occluded": v == 1}, "description": ""}] if v else []
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"..\\images\\{split}\\{photo}"}
        content |= {"imageData": "aGVsbG8=", "imageHeight": found[0].size[1], "imageWidth": found[0].size[0]}
        (folder / split / photo).with_suffix(".json").write_text(json.dumps(content))
    return folder / split


def dlc_frame(split: str, people: list[Someone], *, single: bool = False) -> pandas.DataFrame:
    """The table that DeepLabCut saves: a column a coordinate, a row a frame."""
    most = max(len(found) for _, found in by_photo(people))
    individuals = [f"animal{number}" for number in range(most)]
    rows, index = [], []
    for photo, found in by_photo(people):
        row = np.full((most, len(NAMES), 2), np.nan)
        for number, person in enumerate(found):
            points = np.array(person.keypoints)
            row[number] = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
        rows.append(row.ravel())
        index.append(("labeled-data", split, photo))
    names = ["scorer", "individuals", "bodyparts", "coords"]
    columns = [("me", who, part, axis) for who in individuals for part in NAMES for axis in "xy"]
    if single:
        names.remove("individuals")
        columns = [(scorer, part, axis) for scorer, _, part, axis in columns]
    return pandas.DataFrame(
        np.array(rows),
        columns=pandas.MultiIndex.from_tuples(columns, names=names),
        index=pandas.MultiIndex.from_tuples(index),
    )


def write_deeplabcut(folder: Path, split: str, people: list[Someone]) -> Path:
    """One video, called by the split, of several animals; edges in the project's config.yaml."""
    place = folder / "labeled-data" / split
    place.mkdir(parents=True, exist_ok=True)
    dlc_frame(split, people).to_csv(place / "CollectedData_me.csv")
    edges = [[NAMES[a], NAMES[b]] for a, b in EDGES]
    (folder / "config.yaml").write_text(yaml.safe_dump({"Task": "dance", "skeleton": edges}))
    return place / "CollectedData_me.csv"


def write_deeplabcut_h5(folder: Path, split: str, people: list[Someone]) -> Path:
    place = folder / "labeled-data" / split
    place.mkdir(parents=True, exist_ok=True)
    dlc_frame(split, people).to_hdf(place / "CollectedData_me.h5", key="df_with_missing", mode="w")
    (folder / "config.yaml").write_text(yaml.safe_dump({"skeleton": [[NAMES[a], NAMES[b]] for a, b in EDGES]}))
    return place / "CollectedData_me.h5"


def write_sleap(folder: Path, split: str, people: list[Someone], *, embed: bool = False) -> Path:
    """A project of image files or, embedded, a package with their pixels; written by sleap-io."""
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=list(NAMES), edges=[(NAMES[a], NAMES[b]) for a, b in EDGES], name=CATEGORY)
    frames = by_photo(people)
    video = sleap_io.Video.from_filename([str(folder / "images" / split / photo) for photo, _ in frames])
    labeled = []
    for number, (_, found) in enumerate(frames):
        points = [np.array(person.keypoints) for person in found]
        arrays = [np.where(own[:, 2:] > 0, own[:, :2], np.nan) for own in points]
        instances = [sleap_io.Instance.from_numpy(array, skeleton=skeleton) for array in arrays]
        labeled.append(sleap_io.LabeledFrame(video=video, frame_idx=number, instances=instances))
    labels = sleap_io.Labels(labeled_frames=labeled, videos=[video], skeletons=[skeleton])
    file = folder / f"{split}.{'pkg.' if embed else ''}slp"
    labels.save(str(file), embed="user" if embed else False, verbose=False)
    return file


def write_sleap_package(folder: Path, split: str, people: list[Someone]) -> Path:
    return write_sleap(folder, split, people, embed=True)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A way of writing a form.

    Args:
        form: Its name for `read_dataset`.
        write: Writes a split into a folder.
        boxes: It has boxes.
        hidden: It tells hidden keypoints from visible ones.
        edges: It has lines between keypoints.
        ordered: It has the names of keypoints in an order, whether anybody has them or not.
    """

    form: str
    write: Callable[[Path, str, list[Someone]], Path]
    boxes: bool = True
    hidden: bool = True
    edges: bool = False
    ordered: bool = True
    category: str = CATEGORY


WRITTEN = {
    "yolo": Written(form="yolo", write=write_yolo),
    "label_studio": Written(form="label_studio", write=write_label_studio, ordered=False),
    "label_studio_min": Written(form="label_studio", write=write_label_studio_min, hidden=False, ordered=False),
    "cvat": Written(form="cvat", write=write_cvat, edges=True),
    "labelme": Written(form="labelme", write=write_labelme, ordered=False),
    "deeplabcut": Written(
        form="deeplabcut", write=write_deeplabcut, boxes=False, hidden=False, edges=True, category="animal"
    ),
    "deeplabcut_h5": Written(
        form="deeplabcut", write=write_deeplabcut_h5, boxes=False, hidden=False, edges=True, category="animal"
    ),
    "sleap": Written(form="sleap", write=write_sleap, boxes=False, hidden=False, edges=True),
    "sleap_package": Written(form="sleap", write=write_sleap_package, boxes=False, hidden=False, edges=True),
}


def read_csv_rows(file: Path) -> list[list[str]]:
    with file.open(newline="") as stream:
        return list(csv.reader(stream))
