"""Boxes from rectangles and from keypoints: whose rectangle is whose, and how far people reach."""

import numpy as np
import pytest

from vitpose.training.data.boxes import match_rectangles, padded_extents, rows_without_box


def person(*points: tuple[float, float]) -> np.ndarray:
    """Keypoints `(3, 3)`, the rest of them not labeled, with numbers that mean nothing."""
    return np.array([*[(x, y, 2) for x, y in points], *[(-5, 999, 0)] * (3 - len(points))], dtype=np.float64)


@pytest.mark.parametrize(
    ("people", "rectangles", "found"),
    [
        pytest.param([[(5, 5), (9, 9)]], [(0, 0, 20, 20), (4, 4, 6, 6)], {0: 1}, id="the smallest that holds all"),
        pytest.param([[(5, 5), (15, 9)]], [(0, 0, 20, 20), (4, 4, 6, 6)], {0: 0}, id="not one that holds a part"),
        pytest.param([[(5, 5), (30, 9)]], [(0, 0, 20, 20)], {}, id="none"),
        pytest.param([[(5, 5), (21.9, 9)]], [(0, 0, 20, 20)], {0: 0}, id="a little outside"),
        pytest.param([[(5, 5), (22.1, 9)]], [(0, 0, 20, 20)], {}, id="too far outside"),
        pytest.param(
            [[(5, 5), (15, 15)], [(8, 8), (9, 9)]],
            [(4, 4, 12, 12), (0, 0, 90, 90)],
            {0: 0, 1: 1},
            id="one rectangle is one person's, in the order of the file",
        ),
        pytest.param(
            [[(8, 8), (9, 9)], [(5, 5), (60, 60)]],
            [(0, 0, 90, 90), (7, 7, 5, 5)],
            {0: 1, 1: 0},
            id="a child inside the rectangle of a parent",
        ),
        pytest.param(
            [[(8, 8), (9, 9)], [(5, 5), (15, 15)]],
            [(4, 4, 12, 12), (0, 0, 90, 90), (500, 0, 9, 9)],
            {0: 0, 1: 1},
            id="both fit both",
        ),
        pytest.param(
            [[(12, 12), (13, 13)], [(5, 5), (15, 15)]],
            [(4, 4, 12, 12), (11, 11, 30, 5)],
            {0: 1, 1: 0},
            id="who has a choice leaves the only one to the other",
        ),
    ],
)
def test_each_person_has_a_rectangle_of_its_own(people, rectangles, found):
    keypoints = np.stack([person(*points) for points in people])
    boxes = np.array(rectangles, dtype=np.float64)
    assert match_rectangles(keypoints, [1] * len(people), boxes, [1] * len(boxes)) == found
    assert match_rectangles(keypoints, [1] * len(people), boxes, [2] * len(boxes)) == {}  # of another photo


def test_a_box_reaches_a_tenth_of_the_longer_side_beyond_the_keypoints():
    lying, standing = person((10, 20), (110, 20)), person((10, 20), (30, 120), (12, 40))
    np.testing.assert_allclose(padded_extents(np.stack([lying, standing])), [[0, 10, 120, 20], [0, 10, 40, 120]])


@pytest.mark.parametrize(
    ("boxes", "empty", "tight"),
    [
        pytest.param([[10, 20, 20, 100]] * 3, [], [0, 1, 2], id="all end at the keypoints"),
        pytest.param([[11, 19.5, 18.5, 101]] * 3, [], [0, 1, 2], id="rounded"),
        pytest.param([[10, 20, 20, 102]] * 3, [], [], id="two pixels more"),
        pytest.param([[10, 20, 20, 100], [0, 0, 90, 130], [0, 0, 90, 130]], [], [], id="one of three, by chance"),
        pytest.param([[10, 20, 20, 100], [10, 20, 20, 100], [0, 0, 90, 130]], [], [0, 1], id="two of three"),
        pytest.param([[0, 0, 0, 0], [10, 20, 20, 0], [0, 0, 90, 130]], [0, 1], [], id="boxes without an area"),
        pytest.param([[10, 20, -20, 0], [0, 0, 90, 130], [np.nan] * 4], [], [], id="what is refused later"),
    ],
)
def test_boxes_that_a_program_made_are_known(boxes, empty, tight):
    keypoints = np.stack([person((10, 20), (30, 120), (12, 40))] * 3)
    found = rows_without_box(np.array(boxes, dtype=np.float64), keypoints)
    assert [rows.tolist() for rows in found] == [empty, tight]
    nobody = np.zeros_like(keypoints)
    assert not any(len(rows) for rows in rows_without_box(np.array(boxes, dtype=np.float64), nobody))
