"""An evaluation opened up: the main figure by keypoint, precision by threshold, types of error, the worst people."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vitpose.processing.people_vitpose import People

from ..metrics.distances import AUC_PIXELS, labeled_distances
from ..metrics.error_types import ERROR_TYPES, count_errors
from ..metrics.oks import oks_matrix
from ..metrics.oks_analysis import OKS_THRESHOLDS, OksAnalysis, analyze_oks
from .by_dataset import Scored, column, measure_by_keypoint
from .evaluator import Evaluator
from .score import Evaluation


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a line, and what they mean.

    Args:
        x, y: Of equal length.
        x_title, title: What x and y are.
    """

    x: list[float]
    y: list[float]
    x_title: str
    title: str


@dataclass(frozen=True, kw_only=True)
class FoundPerson:
    """A predicted person beside the annotated one.

    Args:
        row: A row of the evaluated people with the photo.
        found: The one person that was predicted.
        target: The same as annotated.
        words: How good it is.
    """

    row: int
    found: People
    target: People
    words: str


@dataclass(frozen=True, kw_only=True)
class EvaluationAnalysis:
    """What the report shows of an evaluation.

    Args:
        primary: Name and value of the dataset's primary metric.
        by_keypoint: That figure for each keypoint by itself; None where nobody has it labelled.
        curve: AP by OKS threshold, or the share of keypoints by distance where the keypoints have no sigmas.
        errors: (K, 5) counts in the order of `ERROR_TYPES`; None without sigmas.
        found, missed: Annotated people whom a pose stands for, and those whom none does; None without sigmas.
        worst: People from the worst on.
    """

    primary: tuple[str, float]
    by_keypoint: dict[str, float | None]
    curve: Curve
    errors: np.ndarray | None
    found: int | None
    missed: int | None
    worst: list[FoundPerson]

    def to_dict(self) -> dict[str, Any]:
        """What goes into `metrics.json`."""
        content: dict[str, Any] = {"by_keypoint": self.by_keypoint}
        if self.errors is not None:
            counts = zip(ERROR_TYPES, self.errors.sum(axis=0).tolist(), strict=True)
            content["keypoint_errors"] = dict(counts)
            content["people_found"], content["people_missed"] = self.found, self.missed
        return content


def analyse(evaluator: Evaluator, evaluation: Evaluation, *, worst: int) -> EvaluationAnalysis:
    """Open up an evaluation.

    Args:
        evaluator: Made the evaluation.
        evaluation: Its metrics and people.
        worst: How many of the worst people to keep.
    """
    source, schema = evaluator.source, evaluator.schema
    scored = Scored(
        points=evaluation.people.keypoints_xy.numpy(),
        people=source.people,
        results=evaluation.results,
        annotations=source.annotations,
        schema=schema,
    )
    by_oks = None
    if schema.sigmas is not None:
        by_oks = analyze_oks(evaluation.results, source.annotations, schema=schema)
    if source.annotated_boxes:
        people = _worst_of_own(evaluation, scored, worst)
    else:
        assert by_oks is not None
        people = _worst_of_matches(by_oks, scored, worst)
    errors = None
    if by_oks is not None:
        errors = count_errors(evaluation.results, by_oks.truth, by_oks.matches, schema=schema)
    return EvaluationAnalysis(
        primary=evaluation.primary,
        by_keypoint=measure_by_keypoint(evaluator.metrics[0], scored),
        curve=_distance_curve(scored) if by_oks is None else _oks_curve(by_oks),
        errors=errors,
        found=None if by_oks is None else len(by_oks.matches),
        missed=None if by_oks is None else by_oks.missed,
        worst=people,
    )


def _oks_curve(by_oks: OksAnalysis) -> Curve:
    return Curve(x=list(OKS_THRESHOLDS), y=by_oks.precision, x_title="least OKS", title="AP by OKS threshold")


def _distance_curve(scored: Scored) -> Curve:
    distances, labelled = labeled_distances(scored.points, scored.targets)
    pixels = np.linspace(0, AUC_PIXELS, 31)
    shares = [float((distances[labelled] <= threshold).mean()) if labelled.any() else 0.0 for threshold in pixels]
    return Curve(x=pixels.tolist(), y=shares, x_title="distance in pixels", title="keypoints within a distance")


def _worst_of_own(evaluation: Evaluation, scored: Scored, count: int) -> list[FoundPerson]:
    """People by their likeness to their own annotation: OKS, or the mean distance without sigmas."""
    targets, people = scored.targets, evaluation.people
    if scored.schema.sigmas is not None:
        badness, words = -evaluation.similarity, [f"OKS {value:.2f}" for value in evaluation.similarity]
    else:
        distances, labelled = labeled_distances(scored.points, targets)
        total, counts = np.where(labelled, distances, 0).sum(axis=1), labelled.sum(axis=1)
        badness = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)  # (N,) pixels
        words = [f"{value:.0f} px off" for value in badness]
    order = [row for row in np.argsort(-badness, kind="stable").tolist() if np.isfinite(badness[row])]
    return [
        FoundPerson(
            row=row,
            found=people[[row]],
            target=People.annotated(targets[[row]], scored.schema),
            words=words[row],
        )
        for row in order[:count]
    ]


def _worst_of_matches(by_oks: OksAnalysis, scored: Scored, count: int) -> list[FoundPerson]:
    """Matched people by OKS; a result's photo is that of any row with its image id."""
    photo_rows = {image_id: row for row, image_id in enumerate(column(scored.people, "image_id"))}
    found = []
    for match in by_oks.matches:
        result, person = scored.results[match.pose], by_oks.truth["annotations"][match.person]
        pose, target = (np.reshape(row["keypoints"], (-1, 3)).astype(np.float64) for row in (result, person))
        sigmas = scored.schema.sigmas
        assert sigmas is not None
        oks = float(oks_matrix(pose[None, :, :2], target[None], [person["area"]], sigmas=sigmas)[0, 0])
        row = photo_rows[result["image_id"]]
        found.append(
            (
                oks,
                FoundPerson(
                    row=row,
                    found=People.from_coco([result], scored.schema),
                    target=People.annotated(target[None], scored.schema),
                    words=f"OKS {oks:.2f}",
                ),
            )
        )
    return [person for _, person in sorted(found, key=lambda pair: pair[0])[:count]]
