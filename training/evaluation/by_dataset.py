"""How the field scores each dataset: one function for each metric, and the choice among them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import unify_names

from ..data.loading import get_known_dataset, list_known_datasets
from ..metrics.coco import coco_keypoint_metrics
from ..metrics.crowdpose import crowdpose_metrics
from ..metrics.distances import end_point_error, keypoint_auc
from ..metrics.modules import MetricName
from ..metrics.oks_analysis import precision_by_keypoint
from ..metrics.pck import box_size, pck, torso_size
from ..metrics.pckh import pckh
from ..metrics.wholebody import wholebody_metrics

TORSO = frozenset({"left_shoulder", "right_shoulder", "left_hip", "right_hip"})
HANDS: tuple[MetricName, ...] = ("keypoint_auc", "pck", "end_point_error")
_WHOLEBODY_PARTS = ("whole", "body", "foot", "face", "left_hand", "right_hand")
_OKS_FAMILY = ("oks_ap", "crowdpose_ap", "wholebody_ap")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a metric is computed from.

    Args:
        points: (N, K, 2) predicted keypoints in image pixels, one row a person.
        people: The N people in the columns of the readers, with annotations of their own unless a detector found them.
        results: COCO result dicts.
        annotations: COCO ground truth, or the path of its file.
        schema: The K keypoints.
    """

    points: np.ndarray
    people: Any
    results: list[dict[str, Any]]
    annotations: dict[str, Any] | str
    schema: KeypointSchema

    @property
    def targets(self) -> np.ndarray:
        """(N, K, 3) labelled x, y, visibility in image pixels."""
        return np.array(column(self.people, "keypoints"), dtype=np.float64)


def chosen_metrics(data: str, schema: KeypointSchema, *, annotated_boxes: bool) -> tuple[MetricName, ...]:
    """The metrics of a recipe's data, the main one first.

    A named dataset has its own. Other data is scored by what its keypoints allow: OKS AP where they have sigmas, PCK of
    the torso where they have one, else AUC, PCK by the box and the mean error in pixels.

    Raises:
        ValueError: Each metric compares a person with its own annotation, and the boxes are a detector's.
    """
    known = get_known_dataset(data) if data in list_known_datasets() else None
    names = known.metrics if known is not None and known.schema == schema.name else _metrics_of_keypoints(schema)
    if annotated_boxes:
        return names
    measurable = tuple(name for name in names if name in _OKS_FAMILY)
    if not measurable:
        raise ValueError(
            f"{data}: {', '.join(names)} compares each person with its own annotation, which a detector's boxes do not "
            "have. Evaluate with the annotated boxes."
        )
    return measurable


def _metrics_of_keypoints(schema: KeypointSchema) -> tuple[MetricName, ...]:
    oks: tuple[MetricName, ...] = ("oks_ap",) if schema.sigmas is not None else ()
    torso: tuple[MetricName, ...] = ("torso_pck",) if set(unify_names(schema.keypoints)) >= TORSO else ()
    return oks + torso or HANDS


def check_columns(metrics: Sequence[MetricName], people: Any) -> None:
    """Raise before any long work if the people lack what a metric measures by."""
    if "pckh" in metrics and not has_column(people, "head_size"):
        raise ValueError(
            "PCKh measures by the size of the head, and these people have no column head_size. Put the file of head "
            "boxes, such as mpii_gt_val.mat, beside mpii_val.json."
        )


def measure(metrics: Sequence[MetricName], scored: Scored) -> dict[str, float]:
    """All figures of some metrics by name, the main one first."""
    figures: dict[str, float] = {}
    for name in metrics:
        figures |= _METRICS[name](scored)
    return figures


def measure_by_keypoint(metric: MetricName, scored: Scored) -> dict[str, float | None]:
    """The main figure of a metric for each keypoint by itself; None where nobody has it labelled."""
    if metric in _OKS_FAMILY:
        figures = precision_by_keypoint(scored.results, scored.annotations, schema=scored.schema)
    else:
        figures = dict(zip(scored.schema.keypoints, _BY_KEYPOINT[metric](scored), strict=True))
    return {name: value if np.isfinite(value) and value != -1 else None for name, value in figures.items()}


def has_column(people: Any, name: str) -> bool:
    """Whether the rows of a dataset or of a sequence tell something."""
    return name in (people.column_names if isinstance(people, Dataset) else people[0]) if len(people) else False


def column(people: Any, name: str) -> list[Any]:
    """One column of a dataset or of a sequence of rows."""
    return list(people[name]) if isinstance(people, Dataset) else [row[name] for row in people]


def _oks(scored: Scored) -> dict[str, float]:
    return coco_keypoint_metrics(scored.results, scored.annotations, sigmas=scored.schema.sigmas)


def _crowdpose(scored: Scored) -> dict[str, float]:
    return crowdpose_metrics(scored.results, scored.annotations)


def _wholebody(scored: Scored) -> dict[str, float]:
    figures = wholebody_metrics(scored.results, scored.annotations)
    return {f"{name}_{part}": figures[part][name] for part in _WHOLEBODY_PARTS for name in ("AP", "AR")}


def _pckh(scored: Scored) -> dict[str, float]:
    figures = pckh(scored.points, scored.targets, head_sizes=column(scored.people, "head_size"))
    excluded, mean, strict = (figures.pop(name) for name in ("people_excluded", "Mean", "Mean@0.1"))
    figures.pop("people")
    joints = {f"PCKh_{joint.lower()}": value for joint, value in figures.items()}
    return {"PCKh": mean, "PCKh@0.1": strict, **joints, "PCKh_people_excluded": excluded}


def _torso_pck(scored: Scored) -> dict[str, float]:
    figures = _by_torso(scored)
    return {"PCK": figures["PCK"], "PCK_people_excluded": figures["people_excluded"]}  # no torso labelled to measure by


def _box_pck(scored: Scored) -> dict[str, float]:
    return {"PCK_box": _by_box(scored)["PCK_keypoint_mean"]}


def _auc(scored: Scored) -> dict[str, float]:
    return {"AUC": keypoint_auc(scored.points, scored.targets)["AUC"]}


def _epe(scored: Scored) -> dict[str, float]:
    return {"EPE": end_point_error(scored.points, scored.targets)["EPE"]}


def _by_head(scored: Scored) -> dict[str, Any]:
    return pck(scored.points, scored.targets, normalizers=column(scored.people, "head_size"), threshold=0.5)


def _by_torso(scored: Scored) -> dict[str, Any]:
    targets = scored.targets
    return pck(scored.points, targets, normalizers=torso_size(targets, scored.schema))


def _by_box(scored: Scored) -> dict[str, Any]:
    return pck(scored.points, scored.targets, normalizers=box_size(column(scored.people, "bbox")))


_METRICS: dict[MetricName, Callable[[Scored], dict[str, float]]] = {
    "oks_ap": _oks,
    "crowdpose_ap": _crowdpose,
    "wholebody_ap": _wholebody,
    "pckh": _pckh,
    "torso_pck": _torso_pck,
    "pck": _box_pck,
    "keypoint_auc": _auc,
    "end_point_error": _epe,
}
_BY_KEYPOINT: dict[MetricName, Callable[[Scored], list[float]]] = {
    "pckh": lambda scored: _by_head(scored)["PCK_per_keypoint"],
    "torso_pck": lambda scored: _by_torso(scored)["PCK_per_keypoint"],
    "pck": lambda scored: _by_box(scored)["PCK_per_keypoint"],
    "keypoint_auc": lambda scored: keypoint_auc(scored.points, scored.targets)["AUC_per_keypoint"],
    "end_point_error": lambda scored: end_point_error(scored.points, scored.targets)["EPE_per_keypoint"],
}
