"""The forms in which others take people: dicts, COCO, tables, annotation tools, OpenPose and supervision."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .openpose_vitpose import OpenPoseBody, openpose_parts

CONFIDENCE_THRESHOLD = 0.2  # keypoints that score above it make a person's score (released configs)
PERSON_CATEGORY = 1  # COCO's number of the category person
_OPENPOSE_VERSION = 1.3  # of its JSON, which has been the same since 2018
_POINT_WIDTH = 0.5  # of a keypoint that Label Studio shows, percent of the picture's width


class PeopleForms:
    """What [`People`] are given away as; the attributes are described there."""

    keypoints_xy: Tensor
    scores: Tensor
    boxes_xywh: Tensor
    box_scores: Tensor
    labels: tuple[str, ...]
    schema: KeypointSchema
    track_ids: Tensor | None

    @property
    def boxes_xyxy(self) -> Tensor:
        """`(N, 4)`, left, top, right and bottom."""
        corners = self.boxes_xywh[:, :2]
        return torch.cat([corners, corners + self.boxes_xywh[:, 2:]], dim=1)

    @property
    def person_scores(self) -> Tensor:
        """`(N,)` float64: box score times the mean score of its keypoints above 0.2, or 0 (released configs)."""
        confident = self.scores > CONFIDENCE_THRESHOLD  # (N, K)
        total = (self.scores.double() * confident).sum(1)
        return self.box_scores.double() * total / confident.sum(1).clamp(min=1)

    @property
    def uncertainties(self) -> Tensor:
        """`(N,)` float64, how unsure the model is of each person: 1 minus the mean score of all keypoints.

        A heatmap's peak is low where the map is spread, and the average of a map and its mirror image has a low one
        where the two disagree. With the flip test this orders people by their real error as well as any measure of
        spread or disagreement that was tried (docs/benchmarks.md).
        """
        return 1 - self.scores.double().mean(1)

    def to_dicts(self, threshold: float | None = None) -> list[dict[str, Any]]:
        """People as the pipeline `keypoint-detection` returns them.

        Args:
            threshold: Keypoints that do not score above it are left out; None keeps all.

        Returns:
            For each ``{"label", "score", "box": {"xmin", "ymin", "xmax", "ymax"}, "keypoints": [{"label", "x", "y",
            "score"}, ...]}``, and `track_id` where it is known.
        """
        names, least = self.schema.keypoints, float("-inf") if threshold is None else threshold
        rows = zip(
            *(self.labels, self.person_scores.tolist(), self.boxes_xyxy.tolist()),
            *(self.keypoints_xy.tolist(), self.scores.tolist()),
            strict=True,
        )
        people: list[dict[str, Any]] = []
        for label, score, corners, points, scores in rows:
            keypoints = []
            for name, (x, y), value in zip(names, points, scores, strict=True):
                if value > least:
                    keypoints.append({"label": name, "x": x, "y": y, "score": value})
            box = dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
            people.append({"label": label, "score": score, "box": box, "keypoints": keypoints})
        for person, track_id in zip(people, [] if self.track_ids is None else self.track_ids.tolist(), strict=False):
            person["track_id"] = track_id
        return people

    def to_coco(
        self, image_ids: int | Sequence[int], *, category_ids: int | Sequence[int] = PERSON_CATEGORY
    ) -> list[dict[str, Any]]:
        """COCO's results form: `image_id`, `category_id`, `bbox` [x, y, width, height], `keypoints`, `score`.

        Args:
            image_ids: The number of the image, or one a person.
            category_ids: The number of the category, or one a person.

        Returns:
            A dict a person, and `track_id` where it is known. `keypoints` are x, y, score, K times.
        """
        images = [image_ids] * len(self.labels) if isinstance(image_ids, int) else image_ids
        categories = [category_ids] * len(self.labels) if isinstance(category_ids, int) else category_ids
        keypoints = torch.cat([self.keypoints_xy, self.scores[..., None]], dim=2).flatten(1).double()  # (N, 3 K)
        rows = zip(
            *(images, categories, self.boxes_xywh.double().tolist(), keypoints.tolist(), self.person_scores.tolist()),
            strict=True,
        )
        results = [
            {
                "image_id": int(image),
                "category_id": int(category),
                "bbox": [round(value, 3) for value in box],
                "keypoints": [round(value, 3) for value in row],
                "score": round(score, 6),
            }
            for image, category, box, row, score in rows
        ]
        for result, track_id in zip(results, [] if self.track_ids is None else self.track_ids.tolist(), strict=False):
            result["track_id"] = track_id
        return results

    def to_tensors(self, threshold: float | None = None, *, drop: bool = False) -> list[dict[str, Tensor]]:
        """People as `post_process_pose_estimation` of transformers' image processors returns them.

        Args:
            threshold: Keypoints that do not score above it get score 0 and keep their place; None keeps all scores.
            drop: Remove them instead, as the stock processor does.

        Returns:
            For each `keypoints` `(K, 2)` as x and y, `scores` and `labels` (the keypoints' numbers) `(K,)`, and `bbox`
            `(4,)` as left, top, right, bottom.
        """
        count, num_keypoints = self.scores.shape
        labels = torch.arange(num_keypoints).repeat(count, 1)
        scores = self.scores
        if threshold is not None and not drop:
            scores = scores.where(scores > threshold, 0)
        rows = zip(self.keypoints_xy, scores, labels, self.boxes_xyxy, strict=True)
        people = [
            {"keypoints": points, "scores": values, "labels": own, "bbox": box} for points, values, own, box in rows
        ]
        if threshold is not None and drop:
            for person in people:
                kept = person["scores"] > threshold
                person.update({name: person[name][kept] for name in ("keypoints", "scores", "labels")})
        return people

    def to_supervision(self) -> Any:
        """`supervision.KeyPoints`, for its annotators; needs that package.

        `data` has what the people are as `class_name`, their boxes as `xyxy`, their `score`, and `track_id` where it is
        known. Releases that have a place for `detection_confidence` get the boxes' scores there.
        """
        supervision = import_module("supervision")  # an import statement would make it a requirement of saved code
        data: dict[str, Any] = {"class_name": list(self.labels), "xyxy": self.boxes_xyxy.numpy()}
        data["score"] = self.person_scores.numpy()
        if self.track_ids is not None:
            data["track_id"] = self.track_ids.numpy()
        more = {}
        if "detection_confidence" in supervision.KeyPoints.__annotations__:
            more["detection_confidence"] = self.box_scores.float().numpy()
        class_ids = torch.zeros(len(self.labels), dtype=torch.long)
        # By position, as the name of the scores differs from one of its versions to the next.
        xy, scores = self.keypoints_xy.numpy(), self.scores.numpy()
        return supervision.KeyPoints(xy, class_ids.numpy(), scores, data=data, **more)

    def to_coco_annotations(
        self,
        image_id: int,
        *,
        first_id: int = 1,
        category_ids: int | Sequence[int] = PERSON_CATEGORY,
        threshold: float = CONFIDENCE_THRESHOLD,
    ) -> list[dict[str, Any]]:
        """COCO's annotations, as annotation tools take them in and training does.

        Args:
            image_id: The number of the image.
            first_id: The number of the first annotation; the others follow it.
            category_ids: The number of the category, or one a person.
            threshold: Keypoints that do not score above it are not labeled: x, y and visibility are 0. The others have
                visibility 2, as a score does not tell what is hidden.

        Returns:
            A dict a person: `id`, `image_id`, `category_id`, `bbox` [x, y, width, height] and `keypoints` x, y,
            visibility in image pixels, `num_keypoints`, `area` (the box's, square pixels), `iscrowd` 0, `segmentation`
            (empty), `score`, and `track_id` where it is known.
        """
        annotations, labeled = [], self.scores > threshold  # (N, K)
        visible = torch.cat([self.keypoints_xy.double(), torch.full_like(self.scores, 2)[..., None]], dim=2)
        keypoints = (visible * labeled[..., None]).flatten(1).tolist()  # N rows of 3 K
        for number, result in enumerate(self.to_coco(image_id, category_ids=category_ids)):
            _, _, width, height = result["bbox"]
            own = {
                "keypoints": [round(value, 3) for value in keypoints[number]],
                "num_keypoints": int(labeled[number].sum()),
                "area": round(width * height, 3),
                "iscrowd": 0,
                "segmentation": [],  # which some tools want to be there
            }
            annotations.append({"id": first_id + number, **result, **own})
        return annotations

    def to_label_studio(
        self, width: int, height: int, *, threshold: float = CONFIDENCE_THRESHOLD, model_version: str = "vitpose"
    ) -> dict[str, Any]:
        """A prediction of Label Studio, for `predictions` of a task: a rectangle a person, and its keypoints in it.

        Args:
            width: Of the upright picture, in pixels.
            height: Of the same.
            threshold: Keypoints that do not score above it are left out, and so are those outside of the picture, where
                Label Studio has no place; rectangles are cut at its edge.
            model_version: What Label Studio calls the model.

        Returns:
            `model_version`, `score` (the mean of the people's, 0 of nobody) and `result`: regions of the tags `box` and
            `keypoint` over the picture `image`, in percent of the picture, keypoints with the rectangle's `parentID`.
        """
        boxes, points, shown = self._in_picture(width, height, threshold)
        of_all = {"to_name": "image", "original_width": width, "original_height": height, "image_rotation": 0}
        regions: list[dict[str, Any]] = []
        scores = [round(score, 4) for score in self.person_scores.tolist()]
        for number, ((x1, y1, x2, y2), label) in enumerate(zip(boxes.tolist(), self.labels, strict=True)):
            corner = {"x": 100 * x1, "y": 100 * y1, "width": 100 * (x2 - x1), "height": 100 * (y2 - y1)}
            own = {"id": f"person{number}", "from_name": "box", "type": "rectanglelabels", **of_all}
            value = {**_rounded(corner), "rotation": 0, "rectanglelabels": [label]}
            regions.append({**own, "value": value, "score": scores[number]})
            for place in shown[number].nonzero().flatten().tolist():
                name, (x, y) = self.schema.keypoints[place], points[number, place].tolist()
                own = {"id": f"person{number}-{place}", "from_name": "keypoint", "type": "keypointlabels", **of_all}
                value = {**_rounded({"x": 100 * x, "y": 100 * y}), "width": _POINT_WIDTH, "keypointlabels": [name]}
                score = round(self.scores[number, place].item(), 4)
                regions.append({**own, "parentID": f"person{number}", "value": value, "score": score})
        mean = sum(scores) / len(scores) if scores else 0.0
        return {"model_version": model_version, "score": round(mean, 4), "result": regions}

    def to_yolo(
        self,
        width: int,
        height: int,
        *,
        class_ids: int | Sequence[int] = 0,
        threshold: float = CONFIDENCE_THRESHOLD,
    ) -> str:
        """The lines of a label file of YOLO-pose, as Ultralytics has it; empty of nobody.

        Args:
            width: Of the upright picture, in pixels.
            height: Of the same.
            class_ids: The number of the class, or one a person, from 0.
            threshold: Keypoints that do not score above it are not labeled: x, y and visibility are 0. So are those
                outside of the picture, where the form has no place; boxes are cut at its edge.

        Returns:
            A line a person: class, box (center x, center y, width, height), then x, y and visibility (2, or 0) of each
            keypoint; all but class and visibility in fractions of the picture.
        """
        boxes, points, shown = self._in_picture(width, height, threshold)
        boxes_cxcywh = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1)
        classes = [class_ids] * len(self.labels) if isinstance(class_ids, int) else class_ids
        lines = []
        for number, (own, box) in enumerate(zip(classes, boxes_cxcywh.tolist(), strict=True)):
            numbers = [str(own), *(f"{value:.6f}" for value in box)]
            for (x, y), is_shown in zip(points[number].tolist(), shown[number].tolist(), strict=True):
                numbers.append(f"{x:.6f} {y:.6f} 2" if is_shown else "0 0 0")
            lines.append(" ".join(numbers) + "\n")
        return "".join(lines)

    def to_openpose(self, *, body: OpenPoseBody = "BODY_25", threshold: float = CONFIDENCE_THRESHOLD) -> dict[str, Any]:
        """What OpenPose writes of an image with `--write_json`: `version` and `people`.

        Args:
            body: `"BODY_25"` as OpenPose writes by default, or `"BODY_18"`, its order for COCO, which ControlNet took.
            threshold: Keypoints that do not score above it are zeros, as those that OpenPose did not find.

        Returns:
            For each person `person_id` (the track id, -1 where there is none), and flat lists of x, y in image pixels
            and score: `pose_keypoints_2d`, and where the schema has them `face_keypoints_2d`,
            `hand_left_keypoints_2d`, `hand_right_keypoints_2d`; empty where not, as all of 3D.

        Raises:
            ValueError: The keypoints are not those of people with arms and legs, such as those of animals.
        """
        parts = openpose_parts(self.keypoints_xy, self.scores, self.schema, body=body)
        lists = {}
        for name, values in parts.items():
            found = values.double() * (values[..., 2:] > threshold)
            lists[name] = [[round(value, 3) for value in row] for row in found.flatten(1).tolist()]
        track_ids = [-1] * len(self.labels) if self.track_ids is None else self.track_ids.tolist()
        people = []
        for number, track_id in enumerate(track_ids):
            person: dict[str, Any] = {"person_id": [track_id]}
            for name in ("pose", "face", "hand_left", "hand_right"):
                person[f"{name}_keypoints_2d"] = lists[name][number] if name in lists else []
            people.append(person | {f"{name}_keypoints_3d": [] for name in ("pose", "face", "hand_left", "hand_right")})
        return {"version": _OPENPOSE_VERSION, "people": people}

    def to_columns(self, **first: Any) -> dict[str, list[Any]]:
        """A table with a row for each keypoint of each person, as lists by column.

        Args:
            first: Columns before the others, each of one value, such as `image="beach.jpg"`.

        Returns:
            Those columns, then `person` (its number in the image, from 0), `label`, `track_id` (None where it is
            unknown), `person_score`, `box_x`, `box_y`, `box_width`, `box_height`, `keypoint` (its name), `x`, `y` and
            `score`; all in image pixels.
        """
        count, num_keypoints = len(self.labels), self.schema.num_keypoints
        track_ids = [None] * count if self.track_ids is None else self.track_ids.tolist()
        of_people: dict[str, Sequence[Any]] = {
            **{"person": range(count), "label": self.labels, "track_id": track_ids},
            "person_score": self.person_scores.tolist(),
        }
        for name, values in zip(("x", "y", "width", "height"), self.boxes_xywh.double().T.tolist(), strict=True):
            of_people[f"box_{name}"] = values
        columns = {name: [value] * (count * num_keypoints) for name, value in first.items()}
        columns |= {name: [value for value in own for _ in range(num_keypoints)] for name, own in of_people.items()}
        columns["keypoint"] = list(self.schema.keypoints) * count
        columns["x"], columns["y"] = self.keypoints_xy.flatten(0, 1).T.tolist()
        columns["score"] = self.scores.flatten().tolist()
        return columns

    def to_pandas(self, **first: Any) -> Any:
        """A `pandas.DataFrame` with a row for each keypoint of each person: what [`to_columns`] gives."""
        return import_module("pandas").DataFrame(self.to_columns(**first))

    def _in_picture(self, width: int, height: int, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """What forms in fractions of a picture have a place for.

        Returns:
            Boxes `(N, 4)` as left, top, right, bottom, cut at the picture's edge, and points `(N, K, 2)`, both in
            fractions of the picture, and which of the points `(N, K)` score above the threshold and lie in it.
        """
        size = torch.tensor([width, height], dtype=torch.float64)
        boxes = (self.boxes_xyxy.double() / size.repeat(2)).clamp(0, 1)
        points = self.keypoints_xy.double() / size
        inside = ((points >= 0) & (points <= 1)).all(-1)
        return boxes, points, inside & (self.scores > threshold)


def _rounded(percent: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in percent.items()}
