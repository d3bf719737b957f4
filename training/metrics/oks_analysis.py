"""The parts of an OKS AP: precision at each threshold and of each keypoint, and the matches behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .average_precision import run_coco_eval
from .checks import check_ground_truth, check_results, load_source

OKS_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # COCO
MATCH_OKS = 0.1  # least similarity of a pose and the person it stands for (Ronchi and Perona 2017)


@dataclass(frozen=True, kw_only=True)
class Match:
    """A pose and the annotated person that it is matched with.

    Args:
        pose: Index of the pose among the results.
        person: Index of the person among the annotations.
    """

    pose: int
    person: int


@dataclass(frozen=True, kw_only=True)
class OksAnalysis:
    """The parts of an evaluation by OKS.

    Args:
        truth: Checked ground truth in COCO form.
        precision: AP at each of `OKS_THRESHOLDS`; -1 where nobody is annotated.
        matches: Image by image, as the evaluator matches them at `MATCH_OKS`.
        missed: Number of annotated people without a match; crowds and people without keypoints do not count.
    """

    truth: dict[str, Any]
    precision: list[float]
    matches: list[Match]
    missed: int


def analyze_oks(
    results: Sequence[Mapping[str, Any]], annotations: dict[str, Any] | str, *, schema: KeypointSchema
) -> OksAnalysis:
    """Evaluate with pycocotools, and keep what the ten metrics leave out.

    Args:
        results: COCO result dicts with K keypoints each.
        annotations: COCO ground truth, or the path of its file.
        schema: The K keypoints, with sigmas.
    """
    truth, poses = _checked(results, annotations, schema)
    evaluator = run_coco_eval(truth, poses, sigmas=schema.sigmas, thresholds=(MATCH_OKS, *OKS_THRESHOLDS))
    precision = evaluator.eval["precision"][:, :, :, 0, -1]  # (thresholds, recalls, categories)
    images = [entry for entry in evaluator.evalImgs if entry is not None]
    # the checked ids count from 1
    matches = [
        Match(pose=pose - 1, person=int(person) - 1)
        for entry in images
        for pose, person, ignored in zip(entry["dtIds"], entry["dtMatches"][0], entry["dtIgnore"][0], strict=True)
        if person and not ignored
    ]
    missed = sum(int(((entry["gtMatches"][0] == 0) & (entry["gtIgnore"] == 0)).sum()) for entry in images)
    return OksAnalysis(truth=truth, precision=[_mean(each) for each in precision[1:]], matches=matches, missed=missed)


def precision_by_keypoint(
    results: Sequence[Mapping[str, Any]], annotations: dict[str, Any] | str, *, schema: KeypointSchema
) -> dict[str, float]:
    """Compute the OKS AP of each keypoint alone; -1 where nobody has it labeled.

    Arguments as [`analyze_oks`].
    """
    truth, poses = _checked(results, annotations, schema)
    assert schema.sigmas is not None
    targets, points = (
        np.array([row["keypoints"] for row in rows], dtype=np.float64).reshape(-1, schema.num_keypoints, 3)
        for rows in (truth["annotations"], poses)
    )  # (M, K, 3) and (N, K, 3)
    precision = {}
    for index, name in enumerate(schema.keypoints):
        people = _with_one_keypoint(truth["annotations"], targets[:, index])
        own = _with_one_keypoint(poses, points[:, index])
        evaluator = run_coco_eval(
            {**truth, "annotations": people}, own, sigmas=schema.sigmas[index : index + 1], thresholds=OKS_THRESHOLDS
        )
        precision[name] = _mean(evaluator.eval["precision"][:, :, :, 0, -1])
    return precision


def _checked(
    results: Sequence[Mapping[str, Any]], annotations: dict[str, Any] | str, schema: KeypointSchema
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    content, name = load_source(annotations, "annotations")
    truth = check_ground_truth(content, num_keypoints=schema.num_keypoints, name=name)
    return truth, check_results(results, truth, num_keypoints=schema.num_keypoints)


def _with_one_keypoint(rows: Sequence[Mapping[str, Any]], keypoints: np.ndarray) -> list[dict[str, Any]]:
    """Reduce each row to one of its keypoints, `(N, 3)`."""
    return [
        {**row, "keypoints": point, "num_keypoints": int(point[2] > 0)}
        for row, point in zip(rows, keypoints.tolist(), strict=True)
    ]


def _mean(precision: np.ndarray) -> float:
    """Mean of the defined precisions, as COCO's evaluator takes it."""
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else -1.0
