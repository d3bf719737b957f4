"""CVAT's own XML, "CVAT for images 1.1": skeletons, points and rectangles.

A skeleton's label is what it is of, the labels of its points are the keypoints. Points drawn one by one are keypoints
by their labels too. A shape of several points has no names: there the order says which keypoint is which.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from vitpose.base.errors import Place, PlacedError

from .annotated import Annotations, Category, Person, Photo, Source
from .grouping import Box, Point, Rectangle, categories_of, people_of_photo

Node = ElementTree.Element
_UNKNOWN_SHAPES = ("polygon", "polyline", "mask", "cuboid", "ellipse", "tag")


def read_cvat(source: Source) -> Annotations:
    """Read an XML file; of a project with subsets the one that is called as the split.

    Raises:
        ValueError: It is no such XML, or of videos, or an entry is unusable; the message names it.
    """
    (path,) = source.files
    root = read_xml(path)
    images = _images(root, path, source.split)
    annotations = Annotations(categories=_skeletons(root))
    for image in images:
        place = (str(path), f"image {image.get('name', image.get('id'))!r}")
        size = tuple(_number(image, side, place) for side in ("width", "height"))
        annotations.photos.append(Photo(name=image.get("name", ""), place=place, size=(size[0], size[1])))
        annotations.people += _people(image, len(annotations.photos) - 1, place, annotations)
    _note_loose_keypoints(annotations)
    return annotations


def read_xml(path: Path) -> Node:
    """Parse a file that declares no document type, so that nothing in it is expanded or fetched.

    Raises:
        ValueError: It is damaged, or declares a document type.
    """
    try:
        content = path.read_bytes()
        scanner = expat.ParserCreate()
        scanner.StartDoctypeDeclHandler = lambda *_: _refuse_doctype(path)
        scanner.Parse(content, True)
        return ElementTree.fromstring(content)
    except (expat.ExpatError, ElementTree.ParseError, UnicodeError, LookupError) as error:
        raise ValueError(f"{path} is not valid XML, perhaps an unfinished file: {error}.") from error


def _refuse_doctype(path: Path) -> None:
    raise ValueError(f"{path} declares a document type (DTD), which no tool writes: it is not read. Remove it.")


def _images(root: Node, path: Path, split: str) -> list[Node]:
    images = root.findall("image")
    if root.tag != "annotations":
        raise ValueError(f"{path} is not of CVAT: expected the element annotations, got {root.tag}.")
    if root.find("track") is not None:
        raise ValueError(f"{path} is 'CVAT for video 1.1', with tracks. Export the task as 'CVAT for images 1.1'.")
    if not images:
        raise ValueError(f"{path} has no images. Export the task as 'CVAT for images 1.1'.")
    subsets = {image.get("subset", "") for image in images} - {"", "default"}
    if not subsets:
        return images
    chosen = [image for image in images if image.get("subset", "").casefold() == split.casefold()]
    if not chosen:
        raise ValueError(f"{path} has the subsets {', '.join(sorted(subsets))}: expected one of them, got {split!r}.")
    return chosen


def _skeletons(root: Node) -> dict[str, Category]:
    """Keypoints of each skeleton label, and its edges from the drawing that CVAT keeps of it."""
    labels = [label for group in root.iter("labels") for label in group.findall("label")]
    skeletons = {}
    for label in labels:
        name = label.findtext("name", "")
        if label.findtext("type") == "skeleton":
            parts = [other.findtext("name", "") for other in labels if other.findtext("parent") == name]
            parts = list(dict.fromkeys(parts))
            skeletons[name] = Category(keypoints=tuple(parts), edges=_edges(label.findtext("svg", ""), parts))
    return {name: skeleton for name, skeleton in skeletons.items() if skeleton.keypoints}


def _edges(svg: str, names: list[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of keypoints that lines of the drawing join; a node is known by the name of its label."""
    tags = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<(?:circle|line)\b[^>]*>", svg)]
    nodes = {tag.get("data-node-id"): tag.get("data-label-name") for tag in tags if "data-node-id" in tag}
    edges = []
    for tag in tags:
        ends = [nodes.get(tag.get(f"data-node-{end}")) for end in ("from", "to")]
        if tag.get("data-type") == "edge" and ends[0] != ends[1] and all(end in names for end in ends):
            edges.append((names.index(str(ends[0])), names.index(str(ends[1]))))
    return tuple(dict.fromkeys(edges))


def _people(image: Node, photo: int, place: Place, annotations: Annotations) -> Iterator[Person]:
    points: list[Point] = []
    rectangles: list[Rectangle] = []
    groups = _usable_groups(image)
    for number, shape in enumerate(image):
        label, own = shape.get("label", ""), (*place, f"shape number {number}")
        group: Any = groups.get(shape.get("group_id", "0"))
        if shape.tag == "box":
            rectangles.append(Rectangle(box=_box(shape, own), category=label, place=own, group=group))
        elif shape.tag == "skeleton":
            points += _skeleton_points(shape, group or ("skeleton", number), own, annotations)
        elif shape.tag == "points" and ";" in shape.get("points", ""):
            points += _numbered_points(shape, group or ("points", number), own, annotations)
        elif shape.tag == "points":
            points.append(_point(shape, label, group, own))
        else:
            annotations.remarks[f"shapes of the type {shape.tag} not read"] += shape.tag in _UNKNOWN_SHAPES
    yield from people_of_photo(points, rectangles, photo=photo, place=place)


def _usable_groups(image: Node) -> dict[str, str]:
    """Group ids that hold one person: those of several skeletons or rectangles join people."""
    whole = [shape.get("group_id", "0") for shape in image if shape.tag == "skeleton"]
    boxes = [shape.get("group_id", "0") for shape in image if shape.tag == "box"]
    ids = {shape.get("group_id", "0") for shape in image} - {"0"}
    return {own: f"group {own}" for own in ids if whole.count(own) <= 1 and boxes.count(own) <= 1}


def _skeleton_points(shape: Node, group: Any, place: Place, annotations: Annotations) -> Iterator[Point]:
    label = shape.get("label", "")
    known = annotations.categories.setdefault(label, Category(keypoints=()))
    for part in shape.findall("points"):
        name = part.get("label", "")
        if name not in known.keypoints:  # a file without its labels, or an older one
            known = Category(keypoints=(*known.keypoints, name), edges=known.edges)
            annotations.categories[label] = known
        if part.get("outside") != "1":
            yield _point(part, name, group, (*place, f"point {name}"), category=label)


def _numbered_points(shape: Node, group: Any, place: Place, annotations: Annotations) -> Iterator[Point]:
    """Keypoints of one shape, by their order."""
    label, pairs = shape.get("label", ""), shape.get("points", "").split(";")
    names = tuple(f"keypoint_{number}" for number in range(len(pairs)))
    known = annotations.categories.setdefault(label, Category(keypoints=names, numbered=True))
    if known.keypoints != names:
        reason = f"expected {len(known.keypoints)} points as others of {label!r} have, got {len(pairs)}."
        raise PlacedError(f"{reason} Draw all of them, or use skeletons, which may lack some.", place)
    for name, pair in zip(names, pairs, strict=True):
        x, y = _pair(pair, place)
        flag = 1.0 if shape.get("occluded") == "1" else 2.0
        yield Point(name=name, x=x, y=y, flag=flag, place=place, group=group, category=label)


def _note_loose_keypoints(annotations: Annotations) -> None:
    """Add the categories whose keypoints were drawn one by one."""
    loose = [person for person in annotations.people if person.category not in annotations.categories]
    annotations.categories |= categories_of(loose)


def _point(shape: Node, name: str, group: Any, place: Place, *, category: str = "") -> Point:
    x, y = _pair(shape.get("points", ""), place)
    flag = 1.0 if shape.get("occluded") == "1" else 2.0
    return Point(name=name, x=x, y=y, flag=flag, place=place, group=group, category=category)


def _pair(text: str, place: Place) -> tuple[float, float]:
    try:
        x, y = (float(value) for value in text.split(","))
    except ValueError:
        raise PlacedError(f"expected points='x,y', got {text!r}. Correct or remove it.", place) from None
    return x, y


def _box(shape: Node, place: Place) -> Box:
    """A rectangle; around a turned one, which turns around its center."""
    left, top, right, bottom = (_number(shape, side, place) for side in ("xtl", "ytl", "xbr", "ybr"))
    width, height = right - left, bottom - top
    if not shape.get("rotation"):
        return left, top, width, height
    angle = math.radians(_number(shape, "rotation", place))
    across = abs(width * math.cos(angle)) + abs(height * math.sin(angle))
    down = abs(width * math.sin(angle)) + abs(height * math.cos(angle))
    return (left + right - across) / 2, (top + bottom - down) / 2, across, down


def _number(node: Node, name: str, place: Place) -> float:
    try:
        return float(node.get(name, ""))
    except ValueError:
        raise PlacedError(f"expected a number for {name}, got {node.get(name)!r}. Correct it.", place) from None


def is_cvat(path: Path, head: str) -> bool:
    """Whether a file looks like one of CVAT, by its name and first characters."""
    return path.suffix == ".xml" and "<annotations" in head
