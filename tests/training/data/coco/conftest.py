"""Generated people on disk, and the path of what these tests share."""

import sys
from pathlib import Path

import numpy as np
import pytest

from vitpose import SyntheticPeople, get_keypoint_schema

sys.path.insert(0, str(Path(__file__).parent))

from coco_help import NAMES, Person


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
