"""Keypoints and rectangles of a photo, put together to people.

Tools for drawing know points and rectangles; which ones are of one person is told by a group, by a link between them,
or by nothing but the rectangle that a point lies in.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from vitpose.base.errors import Place, PlacedError

from .annotated import PERSON_WORDS, Category, Person

Box = tuple[float, float, float, float]
_SLACK = 0.05  # share of a rectangle's sides by which a keypoint may lie outside it
_CLOSE = 2.0  # how many times as long as its keypoints reach the box of a person may be, where no label says it is one
_BOX_WORDS = {"box", "bbox", "boxes", "rectangle", "rect", "bounding"}
# What annotators write beside a keypoint that is hidden.
HIDDEN_WORDS = ("hidden", "occluded", "invisible", "not visible", "not_visible")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A keypoint.

    Args:
        name: Its name.
        x: From the left edge, in the unit of the rectangles.
        y: From the upper edge.
        flag: 1 hidden, 2 visible.
        place: Where it stands, for errors.
        group: What it shares with the other parts of its person; None where the tool does not say.
        category: What it is a keypoint of; empty where the tool does not say.
    """

    name: str
    x: float
    y: float
    flag: float
    place: Place
    group: Hashable = None
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A box `[x, y, width, height]` with the category of what it holds; further arguments as [`Point`]."""

    box: Box
    category: str
    place: Place
    group: Hashable = None


@dataclass(kw_only=True)
class _Group:
    """A person in the making."""

    rectangle: Rectangle | None = None
    points: dict[str, Point] = field(default_factory=dict)

    def add(self, point: Point) -> None:
        if point.name in self.points:
            raise PlacedError(
                f"the same person has {point.name!r} twice. Remove one, or say which person it is of: by a group, by a "
                "link to the person's rectangle, or by a rectangle around each person.",
                point.place,
            )
        self.points[point.name] = point


def people_of_photo(points: list[Point], rectangles: list[Rectangle], *, photo: int, place: Place) -> list[Person]:
    """Put the points and rectangles of a photo together.

    Groups come first. A point without a group is of the rectangle that it lies in; if that is several, of the one
    that still lacks this keypoint. Points that no rectangle holds any of are one person. A group without a rectangle
    of its own takes the smallest free one around all its points, if it is labeled as a person or as the group is.

    Args:
        points: The keypoints.
        rectangles: The boxes; one without keypoints is a person whose keypoints are not labeled.
        photo: Number of the photo.
        place: Its place, for errors.

    Raises:
        PlacedError: Nothing tells which person a keypoint belongs to.
    """
    groups: dict[Hashable, _Group] = {}
    for number, rectangle in enumerate(rectangles):
        key = ("rectangle", number) if rectangle.group is None else rectangle.group
        group = groups.setdefault(key, _Group())
        if group.rectangle is not None:
            raise PlacedError("one person has two rectangles. Remove one, or their common group.", rectangle.place)
        group.rectangle = rectangle
    for point in points:
        if point.group is not None:
            groups.setdefault(point.group, _Group()).add(point)
    _adopt_rectangles(groups)
    _place_loose([point for point in points if point.group is None], groups)
    return [_person(group, photo, place) for group in groups.values()]


def categories_of(people: Sequence[Person]) -> dict[str, Category]:
    """Keypoints of each category, for forms that do not list them: those that occur, in the order of the alphabet.

    People whose category is not told, since nobody drew a rectangle, are of the only one that there is.
    """
    told = {person.category for person in people if person.keypoints} - {""}
    names: dict[str, set[str]] = {}
    for person in people:
        if not person.category and len(told) == 1:
            (person.category,) = told
        names.setdefault(person.category, set()).update(person.keypoints)
    return {name: Category(keypoints=tuple(sorted(found))) for name, found in names.items() if found}


def _adopt_rectangles(groups: dict[Hashable, _Group]) -> None:
    """Give groups without a rectangle free ones around their points, those first whose label says that they are meant.

    A rectangle of another label, such as a car, is a person's only where it is close around most people of the photo
    and there is no other such label.
    """
    _adopt(groups, _is_labeled_as)
    free = {group.rectangle.category for group in groups.values() if group.rectangle and not group.points}
    bare = [group for group in groups.values() if group.rectangle is None]
    others = {label for label in free if not any(_names_person(label, group) for group in groups.values())}
    if len(others) == 1:
        alike = [r for g in groups.values() if (r := g.rectangle) and not g.points and r.category in others]
        close = sum(any(_is_close(rectangle, group) for rectangle in alike) for group in bare)
        if 2 * close > len(bare):
            _adopt(groups, _is_close)


def _adopt(groups: dict[Hashable, _Group], fits: Callable[[Rectangle, _Group], bool]) -> None:
    """Give each group without a rectangle the smallest free one that fits; who fits the fewest comes first."""
    free = {key: group.rectangle for key, group in groups.items() if group.rectangle is not None and not group.points}
    fitting = {
        key: sorted(
            (r.box[2] * r.box[3], place)
            for place, r in enumerate(free.values())
            if _holds_all(r, group) and fits(r, group)
        )
        for key, group in groups.items()
        if group.rectangle is None
    }
    keys = list(free)
    for key in sorted(fitting, key=lambda key: len(fitting[key])):
        taken = next((keys[place] for _, place in fitting[key] if keys[place] in groups), None)
        if taken is not None:
            groups[key].rectangle = groups.pop(taken).rectangle


def _is_labeled_as(rectangle: Rectangle, group: _Group) -> bool:
    return _names_person(rectangle.category, group)


def _names_person(label: str, group: _Group) -> bool:
    """Whether a rectangle's label is that of the group, a word for a person, or none, `box` aside."""
    own = {point.category.casefold() for point in group.points.values()}
    return _plain(label) in {"", *PERSON_WORDS, *own, *map(_plain, own)}


def _plain(label: str) -> str:
    return " ".join(word for word in re.split(r"[\W_]+", label.casefold()) if word and word not in _BOX_WORDS)


def _is_close(rectangle: Rectangle, group: _Group) -> bool:
    """Whether a rectangle is around all points of a group, and not much larger than these reach."""
    points = group.points.values()
    across, down = (max(side) - min(side) for side in ([p.x for p in points], [p.y for p in points]))
    near = rectangle.box[2] <= _CLOSE * across and rectangle.box[3] <= _CLOSE * down
    return near and _holds_all(rectangle, group)


def _place_loose(points: list[Point], groups: dict[Hashable, _Group]) -> None:
    """Put each point without a group into the rectangle that it lies in; what is open waits for what is not."""
    boxed = [(group, group.rectangle) for group in groups.values() if group.rectangle is not None]
    person = _person_of_all(points, boxed, groups) if points else None
    if person is not None:
        for point in points:
            person.add(point)
        return
    waiting = points
    while waiting:
        left = []
        for point in waiting:
            holding = [group for group, rectangle in boxed if _holds(rectangle, point)]
            holding = holding or [group for group, rectangle in boxed if _holds(rectangle, point, slack=_SLACK)]
            lacking = [group for group in holding if point.name not in group.points]
            if len(holding) == 1 or len(lacking) == 1:
                (lacking or holding)[0].add(point)
            else:
                left.append((point, len(holding)))
        if len(left) == len(waiting):
            _refuse_loose(*left[0], others=len(left) - 1, rectangles=len(boxed))
        waiting = [point for point, _ in left]


def _person_of_all(
    points: list[Point], boxed: list[tuple[_Group, Rectangle]], groups: dict[Hashable, _Group]
) -> _Group | None:
    """Who all points without a group belong to; None where that is for each to tell.

    Of the only rectangle if it holds most of them, also where a hand reaches out of it. Where no rectangle is a
    person's yet and they lie in none, or few of them in the only one, such as a ball, they are a person of their own.
    """
    held = sum(any(_holds(rectangle, point, slack=_SLACK) for _, rectangle in boxed) for point in points)
    if len(groups) == len(boxed) == 1 and 2 * held > len(points):
        return boxed[0][0]
    if any(group.points for group, _ in boxed) or (held and len(boxed) > 1):
        return None
    return None if 2 * held > len(points) else groups.setdefault("loose", _Group())


def _refuse_loose(point: Point, count: int, *, others: int, rectangles: int) -> None:
    more = f" (and {others} more)" if others else ""
    raise PlacedError(
        f"{point.name!r} lies in {count or 'none'} of {rectangles} rectangles{more}: cannot tell which person it "
        "belongs to. Link it to the rectangle of its person, or give both a group.",
        point.place,
    )


def _holds(rectangle: Rectangle, point: Point, *, slack: float = 0.0) -> bool:
    x, y, width, height = rectangle.box
    inside_x = -slack * width <= point.x - x <= width * (1 + slack)
    return inside_x and -slack * height <= point.y - y <= height * (1 + slack)


def _holds_all(rectangle: Rectangle, group: _Group) -> bool:
    return all(_holds(rectangle, point, slack=_SLACK) for point in group.points.values())


def _person(group: _Group, photo: int, place: Place) -> Person:
    named = [point for point in group.points.values() if point.category]
    first = group.rectangle.place if group.rectangle else next((p.place for p in group.points.values()), place)
    category = named[0].category if named else group.rectangle.category if group.rectangle else ""
    return Person(
        photo=photo,
        place=first,
        category=category,
        keypoints={name: (point.x, point.y, point.flag) for name, point in group.points.items()},
        box=group.rectangle.box if group.rectangle else None,
    )
