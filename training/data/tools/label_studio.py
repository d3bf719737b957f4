"""Label Studio's own exports: JSON, and JSON-MIN where rectangles say whose keypoints are whose.

Coordinates are percentages of the photo's width and height. Of a JSON export count the annotations of each task that
were not cancelled; predictions are none. A keypoint is of the rectangle that it is linked to, by `parentID` or by a
relation, else of the one that it lies in. JSON-MIN has neither links nor the choices made for a region.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json

from ..photo_folder import name_parts
from .annotated import Annotations, Photo, Source
from .grouping import HIDDEN_WORDS, Box, Point, Rectangle, categories_of, people_of_photo

Item = dict[str, Any]
_KEYPOINTS, _RECTANGLES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")
_OF_REGIONS = ("labels", "choices", "relation", "textarea", "rating", "number", "taxonomy")  # say more about regions
_ADDED_BY_MIN = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")


def read_label_studio(source: Source) -> Annotations:
    """Read an export, JSON or JSON-MIN.

    Raises:
        ValueError: It is another export, or an entry is unusable; the message names it.
    """
    annotations = Annotations(relative=True)
    for path in source.files:
        for task, place in _tasks(path):
            found = _results(task, place, annotations) if "data" in task else _min_results(task)
            if found is None:
                continue
            results = [{**entry, "id": str(entry.get("id", f"number {n}"))} for n, entry in enumerate(found)]
            photo = Photo(name=_photo_name(task, place), place=place, size=_original_size(results, place))
            annotations.photos.append(photo)
            points, rectangles = _shapes(results, place, annotations)
            number = len(annotations.photos) - 1
            people = people_of_photo(points, rectangles, photo=number, place=place)
            annotations.people += people
    annotations.categories = categories_of(annotations.people)
    return annotations


def _tasks(path: Path) -> Iterator[tuple[Item, Place]]:
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(
            f"{path} is not Label Studio's JSON: expected a list of tasks, got {type(content).__name__}. Export as "
            "JSON; its COCO export is read as coco."
        )
    for position, task in enumerate(content):
        name = f"task {task['id']}" if isinstance(task, dict) and "id" in task else f"task number {position}"
        place = (str(path), name)
        if not isinstance(task, dict):
            raise PlacedError(f"expected an object, got {task!r}. Export as JSON again.", place)
        if "completions" in task:  # what annotations were called until 2021
            task = {**task, "annotations": task["completions"]}
        yield task, place


def _results(task: Item, place: Place, annotations: Annotations) -> list[Item] | None:
    """The regions of the one annotation of a task that counts, the ground truth, else the newest; None without one."""
    annotations.remarks["predictions not read"] += len(task.get("predictions") or [])
    made = task.get("annotations", [])
    if not isinstance(made, list) or not all(isinstance(entry, dict) for entry in made):
        raise PlacedError(
            "expected a list of annotations, with their results. Export as JSON, not as a snapshot.", place
        )
    valid = [entry for entry in made if not (entry.get("was_cancelled") or entry.get("skipped"))]
    annotations.remarks["cancelled annotations not read"] += len(made) - len(valid)
    if not valid:  # nobody has said yet who is in the photo
        annotations.remarks["tasks without an annotation not read"] += 1
        return None
    best = max(valid, key=lambda entry: (bool(entry.get("ground_truth")), str(entry.get("updated_at") or "")))
    annotations.remarks["annotations not read, as the photo has a newer one or a ground truth"] += len(valid) - 1
    results = best.get("result")
    if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
        raise PlacedError("expected a list of results in its annotation. Export as JSON again.", place)
    return results


def _min_results(task: Item) -> list[Item]:
    """The regions of a task of JSON-MIN, in the form of JSON: there each control of the labels has a list of values."""
    results = []
    for key, values in task.items():
        for value in values if isinstance(values, list) and key not in _ADDED_BY_MIN else ():
            if isinstance(value, dict):
                plain = "rectangle" if "height" in value else "keypoint"
                kind = next((name for name in value if name.endswith("labels") and name != "labels"), plain)
                sizes = {name: value[name] for name in ("original_width", "original_height") if name in value}
                results.append({"type": kind, "value": value, **sizes})
    return results


def _photo_name(task: Item, place: Place) -> str:
    """What the task calls its photo."""
    values = task.get("data", task)
    names = [value for value in values.values() if isinstance(value, str)] if isinstance(values, dict) else []
    shown = [name for name in names if len(name) < 4096 and name_parts(name) and "." in name_parts(name)[-1]]
    shown.sort(key=lambda name: not name.lower().rsplit("?")[0].endswith((".jpg", ".jpeg", ".png", ".webp", ".bmp")))
    if not shown:
        raise PlacedError(f"it names no photo: its data is {values!r}. Use tasks of photos.", place)
    return shown[0]


def _original_size(results: list[Item], place: Place) -> tuple[float, float] | None:
    sizes = {size for entry in results if (size := _size_of_region(entry)) is not None}
    if len(sizes) > 1:
        raise PlacedError(f"its regions are of photos of the sizes {sorted(sizes)}: expected one. Export again.", place)
    return sizes.pop() if sizes else None


def _size_of_region(entry: Item) -> tuple[float, float] | None:
    """Width and height of its photo in pixels; None where it does not say both."""
    width, height = entry.get("original_width"), entry.get("original_height")
    if not isinstance(width, (int, float)) or not isinstance(height, (int, float)):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _shapes(results: list[Item], place: Place, annotations: Annotations) -> tuple[list[Point], list[Rectangle]]:
    """Keypoints and rectangles of a task; each region appears once for each control that was used on it."""
    groups, hidden, labels = _links(results), _hidden(results), _labels(results)
    points, rectangles = [], []
    for entry in results:
        kind, region, value = str(entry.get("type")), entry["id"], entry.get("value")
        if kind not in (*_KEYPOINTS, *_RECTANGLES):
            annotations.remarks[f"regions of the type {kind} not read"] += kind not in _OF_REGIONS
            continue
        own = (*place, f"region {region}")
        if entry.get("image_rotation"):
            reason = f"the photo was turned by {entry['image_rotation']} degrees in the tool, which is not supported."
            raise PlacedError(f"{reason} Turn the file itself and annotate that.", own)
        label, group = labels.get(region, ""), groups.get(region)
        if kind in _RECTANGLES:
            rectangles.append(Rectangle(box=_box(value, entry, own), category=label, place=own, group=group))
            continue
        if not label:
            raise PlacedError("a keypoint without a label. Give it one, or remove it.", own)
        x, y = _numbers(value, ("x", "y"), own)
        flag = 1.0 if region in hidden else 2.0
        points.append(Point(name=label, x=x / 100, y=y / 100, flag=flag, place=own, group=group))
    return points, rectangles


def _labels(results: list[Item]) -> dict[str, str]:
    """The label of each region, by its id."""
    labels = {}
    for entry in results:
        for field in ("keypointlabels", "rectanglelabels", "labels"):
            given = entry["value"].get(field) if isinstance(entry.get("value"), dict) else None
            if isinstance(given, list) and given:
                labels[entry["id"]] = str(given[0])
    return labels


def _links(results: list[Item]) -> dict[str, str]:
    """Group of each region that is linked to others, by parentID or by relations of either direction."""
    leaders: dict[str, str] = {}
    boxes = {entry["id"] for entry in results if entry.get("type") in _RECTANGLES}

    def leader(region: str) -> str:
        while leaders.setdefault(region, region) != region:
            region = leaders[region]
        return region

    for entry in results:
        first, second = entry["id"], entry.get("parentID") or entry.get("parent_id")
        if entry.get("type") == "relation":
            first, second = entry.get("from_id"), entry.get("to_id")
        if first and second and not {first, second} <= boxes:  # two people may be related too
            leaders[leader(str(first))] = leader(str(second))
    return {region: leader(region) for region in leaders}


def _hidden(results: list[Item]) -> set[str]:
    """Ids of the regions for which the annotator chose a word such as `occluded`."""
    hidden = set()
    for entry in results:
        value = entry.get("value")
        chosen = value.get("choices") if isinstance(value, dict) else None
        if isinstance(chosen, list) and any(str(word).casefold() in HIDDEN_WORDS for word in chosen):
            hidden.add(entry["id"])
    return hidden


def _numbers(value: Any, fields: tuple[str, ...], place: Place, *, most: float = 200) -> list[float]:
    numbers: list[Any] = [value.get(field) for field in fields] if isinstance(value, dict) else [None]
    if not all(isinstance(number, (int, float)) and np.isfinite(number) for number in numbers):
        raise PlacedError(f"expected numbers for {', '.join(fields)}, got {value!r}. Correct or remove it.", place)
    if any(abs(number) > most for number in numbers):
        reason = f"expected percentages of the photo for {', '.join(fields)}, got {numbers}. Export from Label Studio."
        raise PlacedError(reason, place)
    return [float(number) for number in numbers]


def _box(value: Any, entry: Item, place: Place) -> Box:
    """Rectangle in shares of the photo; around a turned one, whose turning point is its upper left corner."""
    x, y, width, height = _numbers(value, ("x", "y", "width", "height"), place)
    if not value.get("rotation"):
        return x / 100, y / 100, width / 100, height / 100
    (rotation,), size = _numbers(value, ("rotation",), place, most=360), _size_of_region(entry)
    if size is None:
        raise PlacedError("a turned rectangle needs original_width and original_height. Export it again.", place)
    angle, (across, down) = np.radians(rotation), size
    sides = np.array([[0, 0], [width, 0], [width, height], [0, height]]) * [across, down]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = (sides @ turn) / [across, down] + [x, y]
    (left, top), (right, bottom) = corners.min(0) / 100, corners.max(0) / 100
    return left, top, right - left, bottom - top


def is_label_studio(path: Path, head: str) -> bool:
    """Whether a file looks like one of Label Studio, by its name and first characters."""
    marks = ("annotations", "completions", "predictions", "keypointlabels", "rectanglelabels", "annotation_id")
    return path.suffix == ".json" and head.startswith("[") and any(f'"{mark}"' in head for mark in marks)
