"""Types of keypoint errors, after Ronchi and Perona.

"Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017, section 3.1. The similarity of a
predicted and a labeled point is the term that a keypoint adds to the OKS. A predicted keypoint is compared with the
labeled points of its own kind and of its mirror partner, of everybody in the photo; the most similar one decides:

| type | most similar to | similarity |
|---|---|---|
| good | itself | 0.85 or more |
| jitter | itself | 0.5 or more, less than 0.85 |
| inversion | the mirror partner of the same person | 0.5 or more |
| swap | the keypoint or its mirror partner of another person | 0.5 or more |
| miss | any | less than 0.5 |
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .oks import keypoint_similarity
from .oks_analysis import Match

ERROR_TYPES = ("good", "jitter", "inversion", "swap", "miss")
NEAR, GOOD = 0.5, 0.85  # Ronchi and Perona 2017
UNLABELED = -1


def classify_keypoints(
    points: np.ndarray, people: np.ndarray, areas: np.ndarray, *, own: int, schema: KeypointSchema
) -> np.ndarray:
    """Classify each keypoint of one pose.

    Args:
        points: (K, 2) predicted x, y in image pixels.
        people: (M, K, 3) labeled x, y, visibility in image pixels of everybody in the photo.
        areas: (M,) their areas in square image pixels.
        own: Index of the person that the pose is matched with.
        schema: The K keypoints, with sigmas.

    Returns:
        (K,) indices into `ERROR_TYPES`; `UNLABELED` where the person's own keypoint is not labeled.
    """
    partner = np.array(schema.flip_index)
    order = [own, *(index for index in range(len(people)) if index != own)]
    candidates = np.concatenate([people[order], people[order][:, partner]])  # (2 M, K, 3), the person itself first
    scales = np.tile(areas[order], 2)  # (2 M,)
    similarity = keypoint_similarity(points, candidates[..., :2], scales, np.array(schema.sigmas))  # (2 M, K)
    similarity[candidates[..., 2] == 0] = -1
    similarity[len(people) :, partner == np.arange(len(partner))] = -1  # a nose has no partner
    nearest, best = similarity.argmax(axis=0), similarity.max(axis=0)  # (K,)
    found = np.where(nearest == 0, np.where(best >= GOOD, 0, 1), np.where(nearest == len(people), 2, 3))
    found = np.where(best < NEAR, ERROR_TYPES.index("miss"), found)
    return np.where(people[own, :, 2] > 0, found, UNLABELED)


def count_errors(
    results: Sequence[Mapping[str, Any]], truth: dict[str, Any], matches: Sequence[Match], *, schema: KeypointSchema
) -> np.ndarray:
    """Count the types of error of each keypoint over the matched poses.

    Args:
        results: COCO result dicts.
        truth: Ground truth in COCO form; the matches index its annotations.
        matches: Pairs of a pose and a person.
        schema: The K keypoints, with sigmas.

    Returns:
        (K, 5) counts of labeled keypoints in the order of `ERROR_TYPES`.
    """
    rows = truth["annotations"]
    people = np.array([row["keypoints"] for row in rows], dtype=np.float64).reshape(-1, schema.num_keypoints, 3)
    areas = np.array([row["area"] for row in rows], dtype=np.float64)
    of_image: dict[Any, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        of_image[row["image_id"]].append(index)
    counts = np.zeros((schema.num_keypoints, len(ERROR_TYPES)), dtype=np.int64)
    for match in matches:
        group = of_image[rows[match.person]["image_id"]]
        points = np.reshape(results[match.pose]["keypoints"], (-1, 3))[:, :2]
        types = classify_keypoints(points, people[group], areas[group], own=group.index(match.person), schema=schema)
        labeled = np.flatnonzero(types != UNLABELED)
        counts[labeled, types[labeled]] += 1
    return counts
