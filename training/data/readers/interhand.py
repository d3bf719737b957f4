"""InterHand2.6M: three JSON files, keypoints in the image by projection with the cameras, each hand an instance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema

from ..columns import people_table
from .coco import coco_columns, read_slim_json
from .coco_entries import CocoFile, Item, by_id, parse_coco

_HANDS = ("right", "left")  # the order of the 42 joints
_JOINTS = 21
_WRIST = 20
_LEAST_JOINTS = 12  # hands with fewer are not used (released configs)
_CAMERA_FIELDS = ("campos", "camrot", "focal", "princpt")


def read_interhand(
    annotation_file: Path, image_dir: Path, *, schema: KeypointSchema, min_keypoints: int, everyone: bool
) -> Dataset:
    """Read InterHand2.6M, 21 keypoints for each hand; `hand` is "right" or "left".

    A hand whose wrist is not valid counts as unlabeled, and hands with fewer than 12 labeled joints are left out; the
    box is the tightest around the labeled joints (released configs, which pad it by 1.5).

    Args:
        annotation_file: Such as `InterHand2.6M_train_data.json`; the files ending in `_camera.json` and
            `_joint_3d.json` lie beside it.
        image_dir: Folder of the photos of the split.
        schema: The 21 keypoints.
        min_keypoints: Hands with fewer labeled keypoints are left out too.
        everyone: Keep every hand with a joint.
    """
    file = parse_coco(read_slim_json(annotation_file), annotation_file, schema=schema)
    fields = ("id", "image_id", "joint_valid")
    annotations = list(by_id(file.annotations, "annotation", fields, file.path).values())
    scene = _Scene(annotation_file)
    least = 1 if everyone else max(min_keypoints, _LEAST_JOINTS)
    hands = [hand for item in annotations for hand in _hands(item, file, scene) if hand["count"] >= least]
    boxes = np.array([hand["bbox"] for hand in hands], dtype=np.float64).reshape(-1, 4)
    keypoints = np.array([hand["keypoints"] for hand in hands], dtype=np.float64).reshape(-1, _JOINTS, 3)
    columns, files = coco_columns(hands, file, image_dir, boxes=boxes, keypoints=keypoints)
    return people_table(
        {**columns, "hand": [hand["hand"] for hand in hands]},
        files,
        schema=schema,
        dataset=schema.name,
        source=annotation_file,
        place_of=lambda row: (str(file.path), f"annotation {hands[row]['annotation']}", f"{hands[row]['hand']} hand"),
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


class _Scene:
    """Joints in world coordinates, and the cameras.

    Args:
        data_file: The file of images and annotations; the other two lie beside it.
    """

    def __init__(self, data_file: Path) -> None:
        if not data_file.name.endswith("_data.json"):
            raise ValueError(f"{data_file} is not of InterHand2.6M: expected a name that ends in _data.json.")
        stem = data_file.name.removesuffix("_data.json")
        self.camera_file = data_file.with_name(f"{stem}_camera.json")
        self.joint_file = data_file.with_name(f"{stem}_joint_3d.json")
        self.cameras = read_json(self.camera_file)
        self.joints = read_json(self.joint_file)

    def keypoints(self, image: Item, place: Place) -> np.ndarray:
        """Project the 42 joints into the image: (42, 2) in image pixels.

        A joint X is at R (X - t) in the frame of the camera of position t and rotation R, and in the image at focal
        length times x / z plus the principal point. A joint behind the camera becomes NaN.
        """
        position, rotation, focal, center = self._camera(image, place)
        seen = (self._world(image, place) - position) @ rotation.T  # (42, 3)
        depth = np.where(seen[:, 2:] > 0, seen[:, 2:], np.nan)
        return seen[:, :2] / depth * focal + center

    def _camera(self, image: Item, place: Place) -> list[np.ndarray]:
        capture, name = str(image.get("capture")), str(image.get("camera"))
        try:
            return [np.array(self.cameras[capture][field][name], dtype=np.float64) for field in _CAMERA_FIELDS]
        except KeyError as error:
            reason = f"{self.camera_file} lacks capture {capture}, camera {name}: {error} is missing."
            raise PlacedError(reason, place) from error

    def _world(self, image: Item, place: Place) -> np.ndarray:
        capture, frame = str(image.get("capture")), str(image.get("frame_idx"))
        try:
            return np.array(self.joints[capture][frame]["world_coord"], dtype=np.float64).reshape(2 * _JOINTS, 3)
        except KeyError as error:
            reason = f"{self.joint_file} lacks capture {capture}, frame {frame}: {error} is missing."
            raise PlacedError(reason, place) from error
        except (TypeError, ValueError) as error:
            reason = f"{self.joint_file} has no 42 joints for capture {capture}, frame {frame}."
            raise PlacedError(reason, place) from error


def _hands(item: Item, file: CocoFile, scene: _Scene) -> Iterator[dict[str, Any]]:
    """Convert both hands of an annotation to the common fields."""
    place = (str(file.path), f"annotation {item['id']}")
    (image,) = file.photos_of([item], "annotation", file.path)
    valid = np.array(item["joint_valid"], dtype=np.float64).ravel()
    if valid.size != 2 * _JOINTS:
        raise PlacedError(f"expected 42 joint_valid, got {valid.size}. Use the files of InterHand2.6M.", place)
    points = scene.keypoints(image, place).reshape(2, _JOINTS, 2)
    for side, labeled in enumerate(valid.reshape(2, _JOINTS) > 0):
        labeled &= labeled[_WRIST]
        yield {
            "image_id": item["image_id"],
            "id": 2 * item["id"] + side,
            "annotation": item["id"],
            "bbox": _tight_box(points[side][labeled]),
            "keypoints": np.column_stack([points[side], 2 * labeled]),
            "hand": _HANDS[side],
            "count": int(labeled.sum()),
        }


def _tight_box(points: np.ndarray) -> list[float]:
    if not len(points):
        return [0.0, 0.0, 0.0, 0.0]
    low, high = points.min(0), points.max(0)
    return [*low, *(high - low)]
