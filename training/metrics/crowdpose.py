"""CrowdPose AP and AR, over all images and by how crowded they are (the rules of the dataset's own toolkit).

The toolkit, crowdposetools, differs from pycocotools in four ways: its 14 sigmas; a person's area is 0.53 times that of
the box, since the dataset has no masks; there are no metrics by size; three are by the images' `crowdIndex` instead.
Its borders are 0.2 and 0.8, and published tables are computed with them, although the CrowdPose paper (section 4)
draws the first at 0.1. It also rounds these three metrics to four digits, which is not done here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from vitpose.modeling.keypoint_schemas import get_keypoint_schema

from .average_precision import Backend, oks_metrics
from .checks import Row, check_coco_layout, check_ground_truth, check_results, load_source, number_table, require_fields

BOX_SHARE = 0.53  # of a box that its person covers, crowdposetools
LEVELS = {"easy": (-math.inf, 0.2), "medium": (0.2, 0.8), "hard": (0.8, math.inf)}  # crowdIndex, from and below
METRICS = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")


def crowdpose_metrics(
    results: Sequence[dict[str, Any]] | str | os.PathLike[str],
    annotations: dict[str, Any] | str | os.PathLike[str],
    backend: Backend = "pycocotools",
) -> dict[str, float]:
    """Compute the nine metrics of CrowdPose, with the dataset's own sigmas and areas from boxes.

    Args:
        results: Dicts in COCO results form with 14 keypoints (x, y, score in image pixels), or a JSON file of them.
        annotations: CrowdPose's ground truth, every image with its `crowdIndex`, or its JSON file. People whose
            `num_keypoints` is 0 are ignored: the dataset counts only visible limb joints in it.
        backend: See `coco_keypoint_metrics`.

    Returns:
        AP, AP50, AP75, AR, AR50, AR75, AP_easy, AP_medium, AP_hard in [0, 1]; -1 where the ground truth holds nobody.

    Raises:
        ValueError: An image, result or annotation does not fit; the message names it.
    """
    schema = get_keypoint_schema("crowdpose")
    content, name = load_source(annotations, "annotations")
    truth = check_ground_truth(box_areas(content, name), num_keypoints=schema.num_keypoints, name=name)
    levels = _images_by_level(truth["images"], name)
    content, name = load_source(results, "results")
    poses = check_results(content, truth, num_keypoints=schema.num_keypoints, name=name)
    metrics = oks_metrics(truth, poses, sigmas=schema.sigmas, backend=backend)
    chosen = {name: metrics[name] for name in METRICS}
    for level, ids in levels.items():
        part, part_poses = _of_images(truth, poses, ids)
        chosen[f"AP_{level}"] = oks_metrics(part, part_poses, sigmas=schema.sigmas, backend=backend)["AP"]
    return chosen


def box_areas(annotations: dict[str, Any], name: str = "annotations") -> dict[str, Any]:
    """Copy a COCO ground truth with 0.53 of the boxes' areas for areas, as CrowdPose and AI Challenger are scored.

    Neither dataset has masks to measure; both are scored with this area (crowdposetools, xtcocotools).
    """
    _, rows = check_coco_layout(annotations, name)
    require_fields(rows, ("bbox",), name)
    boxes = number_table([row["bbox"] for row in rows], (4,), rows, f"{name}: bbox")
    areas = boxes[:, 3] * boxes[:, 2] * BOX_SHARE
    people = [{**row, "area": area} for row, area in zip(rows, areas.tolist(), strict=True)]
    return {**annotations, "annotations": people}


def _images_by_level(images: list[Row], name: str) -> dict[str, set[Any]]:
    """Ids of the images of each level of crowding."""
    require_fields(images, ("crowdIndex",), f"{name}: images")
    crowding = number_table([image["crowdIndex"] for image in images], (), images, f"{name}: crowdIndex").tolist()
    return {
        level: {image["id"] for image, index in zip(images, crowding, strict=True) if low <= index < high}
        for level, (low, high) in LEVELS.items()
    }


def _of_images(truth: dict[str, Any], poses: list[Row], ids: set[Any]) -> tuple[dict[str, Any], list[Row]]:
    """Select the ground truth and poses of some images."""
    people = [person for person in truth["annotations"] if person["image_id"] in ids]
    images = [image for image in truth["images"] if image["id"] in ids]
    return {**truth, "images": images, "annotations": people}, [pose for pose in poses if pose["image_id"] in ids]
