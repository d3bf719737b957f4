"""People in one image: the form in which they travel from room to room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .people_forms_vitpose import PeopleForms


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Where the N people of an image are.

    Args:
        boxes_xywh: `(N, 4)` float64, left, top, width and height in image pixels.
        scores: `(N,)`, a detector's confidence; 1 for boxes that were given.
        labels: What each of them is, such as `"person"`.
    """

    boxes_xywh: Tensor
    scores: Tensor
    labels: tuple[str, ...]

    @classmethod
    def given(cls, boxes_xywh: Tensor, label: str) -> "Detections":
        """Boxes `(N, 4)` that nobody had to detect: each scores 1."""
        return cls(boxes_xywh=boxes_xywh, scores=torch.ones(len(boxes_xywh)), labels=(label,) * len(boxes_xywh))


@dataclass(frozen=True, kw_only=True)
class People(PeopleForms):
    """The keypoints of N people, all in image pixels; (0, 0) is the center of the first pixel.

    Args:
        keypoints_xy: `(N, K, 2)` float32, x and y of each keypoint.
        scores: `(N, K)`, the value of each keypoint's heatmap peak.
        boxes_xywh: `(N, 4)`, left, top, width and height of the boxes that the keypoints were found in.
        box_scores: `(N,)`, a detector's confidence in the boxes; 1 where they were given.
        labels: What each of them is, such as `"person"`.
        schema: Names, mirror pairs and edges of the K keypoints.
        track_ids: `(N,)` long, the same number for the same person in every frame of a video.

    Raises:
        ValueError: The tensors are not of N people with K keypoints each.
    """

    keypoints_xy: Tensor
    scores: Tensor
    boxes_xywh: Tensor
    box_scores: Tensor
    labels: tuple[str, ...]
    schema: KeypointSchema
    track_ids: Tensor | None = None

    def __post_init__(self) -> None:
        count, num_keypoints = len(self.labels), self.schema.num_keypoints
        expected = {
            "keypoints_xy": (count, num_keypoints, 2),
            "scores": (count, num_keypoints),
            "boxes_xywh": (count, 4),
            "box_scores": (count,),
            "track_ids": (count,),
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            if values is not None and tuple(values.shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape} for {count} people with the {num_keypoints} keypoints of "
                    f"{self.schema.name!r}, got {tuple(values.shape)}."
                )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> "People":
        """Some of them: a slice, numbers, or a mask `(N,)` of those to keep."""
        chosen = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        if isinstance(chosen, Tensor) and chosen.dtype != torch.bool:
            chosen = chosen.long()  # of an empty list torch makes floats
        index = torch.arange(len(self))[chosen]
        tensors: dict[str, Any] = {name: values[index] for name, values in self._tensors().items()}
        return replace(self, **tensors, labels=tuple(self.labels[row] for row in index.tolist()))

    def _tensors(self) -> dict[str, Tensor]:
        """Everything that has a row a person, of what is known."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    @classmethod
    def nobody(cls, schema: KeypointSchema) -> "People":
        """The people of an image without any."""
        return cls(
            keypoints_xy=torch.zeros(0, schema.num_keypoints, 2),
            scores=torch.zeros(0, schema.num_keypoints),
            boxes_xywh=torch.zeros(0, 4),
            box_scores=torch.zeros(0),
            labels=(),
            schema=schema,
        )

    @classmethod
    def join(cls, parts: Sequence["People"]) -> "People":
        """Those of several parts, one after another; they have one schema."""
        tensors = [part._tensors() for part in parts]
        joined: dict[str, Any] = {name: torch.cat([own[name] for own in tensors]) for name in tensors[0]}
        return replace(parts[0], **joined, labels=tuple(label for part in parts for label in part.labels))

    @classmethod
    def annotated(cls, keypoints: Any, schema: KeypointSchema) -> "People":
        """Annotated people: keypoints that are labeled score 1, others 0; boxes hold the labeled ones.

        Args:
            keypoints: `(N, K, 3)`, x and y in image pixels and COCO's visibility, as an array, a tensor or lists.
            schema: What the K keypoints are.
        """
        table = torch.as_tensor(keypoints, dtype=torch.float64).reshape(-1, schema.num_keypoints, 3)
        points, labeled = table[..., :2], table[..., 2:] > 0  # (N, K, 2), (N, K, 1)
        low = points.masked_fill(~labeled, float("inf")).amin(1)  # (N, 2)
        high = points.masked_fill(~labeled, float("-inf")).amax(1)
        corner = low.where(low <= high, 0)
        return cls(
            keypoints_xy=points.float(),
            scores=labeled[..., 0].float(),
            boxes_xywh=torch.cat([corner, (high - low).where(low <= high, 0)], dim=1),
            box_scores=torch.ones(len(table)),
            labels=(schema.category,) * len(table),
            schema=schema,
        )

    @classmethod
    def from_coco(cls, results: Sequence[Mapping[str, Any]], schema: KeypointSchema) -> "People":
        """People from COCO result dicts with the schema's keypoints; their boxes score what the dicts do."""
        table = torch.tensor([result["keypoints"] for result in results], dtype=torch.float64)
        table = table.reshape(-1, schema.num_keypoints, 3)
        return cls(
            keypoints_xy=table[..., :2].float(),
            scores=table[..., 2].float(),
            boxes_xywh=torch.tensor([result["bbox"] for result in results], dtype=torch.float64).reshape(-1, 4),
            box_scores=torch.tensor([result["score"] for result in results]),
            labels=(schema.category,) * len(results),
            schema=schema,
            track_ids=_track_ids(results),
        )

    @classmethod
    def from_tensors(cls, people: Sequence[Mapping[str, Any]], schema: KeypointSchema) -> "People":
        """People from what [`to_tensors`] gives; keypoints that were removed have score 0.

        Raises:
            ValueError: A person does not have as many keypoints as scores and labels, or other ones than the schema.
        """
        points = torch.zeros(len(people), schema.num_keypoints, 2, dtype=torch.float64)
        scores = torch.zeros(len(people), schema.num_keypoints, dtype=torch.float64)
        boxes = torch.zeros(len(people), 4, dtype=torch.float64)
        for number, person in enumerate(people):
            own_points, own_scores = (
                torch.as_tensor(person[name], dtype=torch.float64, device="cpu") for name in ("keypoints", "scores")
            )
            labels = torch.as_tensor(person.get("labels", range(schema.num_keypoints)), device="cpu")
            count = len(labels)
            if own_points.shape != (count, 2) or own_scores.shape != (count,):
                raise ValueError(
                    f"person {number}: schema {schema.name!r} needs keypoints ({count}, 2) and scores ({count},), got "
                    f"{tuple(own_points.shape)} and {tuple(own_scores.shape)}."
                )
            points[number, labels], scores[number, labels] = own_points, own_scores
            if "bbox" in person:
                box = torch.as_tensor(person["bbox"], dtype=torch.float64, device="cpu")
                if box.shape != (4,) or not box.isfinite().all():
                    raise ValueError(
                        f"person {number}: expected a finite `bbox` of x1, y1, x2, y2, got {box.tolist()}."
                    )
                boxes[number] = box
        boxes[:, 2:] -= boxes[:, :2]
        return cls(
            keypoints_xy=points.float(),
            scores=scores.float(),
            boxes_xywh=boxes,
            box_scores=torch.ones(len(people)),
            labels=(schema.category,) * len(people),
            schema=schema,
        )

    @classmethod
    def from_dicts(cls, people: Sequence[Mapping[str, Any]], schema: KeypointSchema) -> "People":
        """People from what [`to_dicts`] gives; keypoints that were left out have score 0.

        Raises:
            ValueError: A keypoint is none of the schema's; the message names the person.
        """
        places = {name: place for place, name in enumerate(schema.keypoints)}
        points = torch.zeros(len(people), schema.num_keypoints, 2)
        scores = torch.zeros(len(people), schema.num_keypoints)
        for number, person in enumerate(people):
            for keypoint in person["keypoints"]:
                if keypoint["label"] not in places:
                    raise ValueError(
                        f"person {number} has a keypoint {keypoint['label']!r} that the schema {schema.name!r} lacks: "
                        "take the schema of the pipeline that found them."
                    )
                place = places[keypoint["label"]]
                points[number, place] = torch.tensor([keypoint["x"], keypoint["y"]])
                scores[number, place] = keypoint["score"]
        corners = [[person["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")] for person in people]
        boxes = torch.tensor(corners, dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        return cls(
            keypoints_xy=points,
            scores=scores,
            boxes_xywh=boxes.float(),
            box_scores=torch.ones(len(people)),
            labels=tuple(str(person.get("label", schema.category)) for person in people),
            schema=schema,
            track_ids=_track_ids(people),
        )


def _track_ids(people: Sequence[Mapping[str, Any]]) -> Tensor | None:
    """The `track_id` of each of the dicts `(N,)`, where all have one."""
    ids = [person["track_id"] for person in people if "track_id" in person]
    return torch.tensor(ids) if ids and len(ids) == len(people) else None


@lru_cache(maxsize=8)
def numbered_schema(num_keypoints: int) -> KeypointSchema:
    """A schema of keypoints that nobody named: `"0"`, `"1"` and so on."""
    return KeypointSchema(
        name="custom",
        keypoints=tuple(map(str, range(num_keypoints))),
        flip_pairs=(),
        upper_body=(),
        lower_body=(),
        edges=(),
        sigmas=None,
        joint_weights=(1.0,) * num_keypoints,
    )
