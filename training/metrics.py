"""COCO's keypoint figures by a checked call of its evaluator; OKS and PCK are re-exported beside them."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .oks import checked_sigmas, oks_matrix, oks_nms, rescore
from .pck import pck, torso_size

__all__ = ["coco_keypoint_metrics", "oks_matrix", "oks_nms", "pck", "rescore", "torso_size"]

Backend = Literal["pycocotools", "faster_coco_eval"]
METRIC_NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
COCO_NUM_KEYPOINTS = 17  # what both evaluators assume when no sigmas are given


def coco_keypoint_metrics(
    results: Sequence[dict[str, Any]] | str | os.PathLike[str],
    annotations: dict[str, Any] | str | os.PathLike[str],
    sigmas: Sequence[float] | None = None,
    backend: Backend = "pycocotools",
) -> dict[str, float]:
    """COCO's ten keypoint figures, OKS AP and AR over thresholds 0.50:0.95, at most 20 poses an image.

    Only `image_id`, `category_id`, `keypoints` and `score` of a result count, as on the COCO server: the evaluators
    would take an extra `bbox` for the size of the pose. Neither argument is changed.

    Args:
        results: dicts in COCO results form (`keypoints` is K times x, y, score in image pixels, flat or nested), or a
            JSON file of them. An empty list scores 0.
        annotations: ground truth in COCO form, or its JSON file.
        sigmas: K label spreads, taken from the keypoint schema; None means COCO's 17.
        backend: `"pycocotools"`, the reference, or `"faster_coco_eval"`, the same figures two to three times sooner.

    Returns:
        AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl in [0, 1]; -1 where the ground truth holds nobody of that
        size, as the reference has it.

    Raises:
        ValueError: naming the first results or annotations that do not fit the ground truth or the keypoint count.
        ImportError: the evaluator is not installed.
    """
    num_keypoints = COCO_NUM_KEYPOINTS if sigmas is None else len(checked_sigmas(sigmas))
    truth = _ground_truth(_loaded(annotations), num_keypoints)
    poses = _results(_loaded(results), truth, num_keypoints)
    make_index, make_evaluator = _evaluator(backend)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth_index = _indexed(make_index(), truth)
        pose_index = truth_index.loadRes(poses) if poses else _indexed(make_index(), {**truth, "annotations": []})
        evaluator = make_evaluator(truth_index, pose_index, iouType="keypoints")
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {name: float(value) for name, value in zip(METRIC_NAMES, evaluator.stats, strict=True)}


def _evaluator(backend: Backend) -> tuple[Any, Any]:
    """Classes of the ground-truth index and the evaluator; both libraries share one interface."""
    try:
        if backend == "pycocotools":
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval

            return COCO, COCOeval
        if backend == "faster_coco_eval":
            from faster_coco_eval import COCO as FasterCOCO
            from faster_coco_eval import COCOeval_faster

            return FasterCOCO, COCOeval_faster
    except ImportError as error:
        package = backend.replace("_", "-")
        raise ImportError(f"backend {backend!r} is not installed; run `pip install {package}`.") from error
    raise ValueError(f"backend must be one of {list(get_args(Backend))}, got {backend!r}.")


def _indexed(index: Any, dataset: dict[str, Any]) -> Any:
    index.dataset = dataset
    index.createIndex()
    return index


def _loaded(source: Any) -> Any:
    return json.loads(Path(source).read_text()) if isinstance(source, str | os.PathLike) else source


def _ground_truth(annotations: Any, num_keypoints: int) -> dict[str, Any]:
    """Checked copy of the ground truth, ids counted from 1: the evaluators read id 0 as "no match"."""
    if not isinstance(annotations, dict):
        raise TypeError(f"annotations must be a COCO dict or its JSON file, got {type(annotations).__name__}.")
    _require_fields([annotations], ("images", "annotations", "categories"), "the ground truth")
    people = [dict(person) for person in annotations["annotations"]]
    _require_fields(people, ("image_id", "category_id", "keypoints", "bbox", "area"), "annotations")
    keypoints = _keypoint_table(people, num_keypoints, "annotations")
    labelled = (keypoints[:, 2::3] > 0).sum(axis=1)
    for number, (person, row, count) in enumerate(zip(people, keypoints.tolist(), labelled, strict=True), start=1):
        person.update(id=number, keypoints=row)
        person.setdefault("iscrowd", 0)
        person.setdefault("num_keypoints", int(count))
    _require_known(people, "image_id", annotations["images"], "annotations")
    _require_known(people, "category_id", annotations["categories"], "annotations")
    return {"images": annotations["images"], "categories": annotations["categories"], "annotations": people}


def _results(results: Any, truth: dict[str, Any], num_keypoints: int) -> list[dict[str, Any]]:
    """Checked copies of the results with the fields that count."""
    if not isinstance(results, Sequence) or not all(isinstance(result, dict) for result in results):
        raise TypeError("results must be a list of COCO result dicts or its JSON file.")
    fields = ("image_id", "category_id", "keypoints", "score")
    _require_fields(results, fields, "results")
    keypoints = _keypoint_table(results, num_keypoints, "results")
    scores = np.asarray([result["score"] for result in results], dtype=np.float64)
    _require_none(np.flatnonzero(~np.isfinite(scores)), "results", "have a score that is NaN or infinite")
    _require_known(results, "image_id", truth["images"], "results")
    _require_known(results, "category_id", truth["categories"], "results")
    rows = zip(results, keypoints.tolist(), strict=True)
    return [{**{field: result[field] for field in fields}, "keypoints": row} for result, row in rows]


def _keypoint_table(rows: Sequence[dict[str, Any]], num_keypoints: int, what: str) -> np.ndarray:
    """Keypoints of all rows, `(N, 3 K)`, finite."""
    lengths = np.asarray([np.size(row["keypoints"]) for row in rows])
    wrong = np.flatnonzero(lengths != 3 * num_keypoints)
    if len(wrong):
        raise ValueError(
            f"{what} must hold 3 x {num_keypoints} = {3 * num_keypoints} keypoint numbers each, but {_some(wrong)} "
            f"hold(s) {lengths[wrong[0]]}; pass the `sigmas` of the data's keypoint schema."
        )
    table = np.asarray([row["keypoints"] for row in rows], dtype=np.float64).reshape(len(rows), 3 * num_keypoints)
    _require_none(np.flatnonzero(~np.isfinite(table).all(axis=1)), what, "have keypoints that are NaN or infinite")
    return table


def _require_fields(rows: Sequence[dict[str, Any]], fields: Iterable[str], what: str) -> None:
    for number, row in enumerate(rows):
        missing = [field for field in fields if field not in row]
        if missing:
            raise ValueError(f"{what}: entry {number} lacks {missing}; it has {sorted(row)}.")


def _require_known(rows: Sequence[dict[str, Any]], field: str, known: Sequence[dict[str, Any]], what: str) -> None:
    unknown = sorted({row[field] for row in rows} - {entry["id"] for entry in known})
    if unknown:
        raise ValueError(f"{what} refer to {field} {_some(unknown)}, absent from the ground truth's {len(known)}.")


def _require_none(wrong: np.ndarray, what: str, complaint: str) -> None:
    if len(wrong):
        raise ValueError(f"{what} {complaint}: entries {_some(wrong)} of them.")


def _some(items: Sequence[Any] | np.ndarray) -> str:
    """At most five items in words."""
    head = ", ".join(str(item) for item in items[:5])
    return head if len(items) <= 5 else f"{head} and {len(items) - 5} more"
