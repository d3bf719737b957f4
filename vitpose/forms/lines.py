"""People as a line of JSON lines has them, for photos and for frames alike, and people of such a line.

A person is `label`, `score` (that of COCO's results), `bbox` [x, y, width, height], `box_score`, `keypoints` (x, y and
score of each, one after another) and, where it is known, `track_id`; all in pixels, with every digit, so that those who
are read are those who were written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_vitpose import People


def people_to_line(people: People) -> list[dict[str, Any]]:
    """The people of one photo or frame."""
    track_ids = [None] * len(people) if people.track_ids is None else people.track_ids.tolist()
    keypoints = torch.cat([people.keypoints_xy, people.scores[..., None]], dim=2).float().flatten(1)  # (N, 3 K)
    rows = zip(
        *(people.labels, people.person_scores.tolist(), people.boxes_xywh.double().tolist()),
        *(people.box_scores.float().tolist(), keypoints.tolist(), track_ids),
        strict=True,
    )
    persons: list[dict[str, Any]] = []
    for label, score, box, box_score, points, track_id in rows:
        person = {"label": label, "score": round(score, 6), "bbox": box, "box_score": _short(box_score)}
        person["keypoints"] = [_short(value) for value in points]
        persons.append(person if track_id is None else {**person, "track_id": track_id})
    return persons


def people_of_line(persons: Sequence[Mapping[str, Any]], schema: KeypointSchema) -> People:
    """What [`people_to_line`] was given."""
    keypoints = torch.tensor([person["keypoints"] for person in persons], dtype=torch.float64)
    keypoints = keypoints.reshape(len(persons), schema.num_keypoints, 3)
    track_ids = [person["track_id"] for person in persons if "track_id" in person]
    return People(
        keypoints_xy=keypoints[..., :2].float(),
        scores=keypoints[..., 2].float(),
        boxes_xywh=torch.tensor([person["bbox"] for person in persons], dtype=torch.float64).reshape(-1, 4),
        box_scores=torch.tensor([person["box_score"] for person in persons], dtype=torch.float64).float(),
        labels=tuple(person["label"] for person in persons),
        schema=schema,
        track_ids=torch.tensor(track_ids) if track_ids else None,
    )


def _short(value: float) -> float:
    """A float32 in as few digits as tell it from all others."""
    return float(f"{value:.9g}")
