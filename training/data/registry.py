"""The table of known datasets: reader, keypoints, places of the files, and metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from datasets import Dataset

from vitpose.processing.processor_settings_vitpose import BOX_PADDING

from ..metrics.crowdpose import BOX_SHARE
from ..metrics.modules import MetricName
from .readers.aic import read_aic
from .readers.coco import read_coco
from .readers.interhand import read_interhand
from .readers.lsp import read_lsp
from .readers.mpii import read_mpii
from .readers.ochuman import read_ochuman
from .readers.wholebody import read_halpe26, read_wholebody


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a split in the dataset's folder.

    Args:
        annotations: The annotation file.
        images: The folder of the photos.
        options: Further arguments of the reader, for files that hold several splits.
    """

    annotations: str
    images: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A dataset that can be read by its name.

    Args:
        name: Its name.
        title: Its name as its authors spell it.
        schema: Name of its keypoint schema.
        reader: Called with an annotation file, an image folder, schema, min_keypoints and everyone.
        splits: Places of each split; the first one whose annotation file exists is taken.
        metrics: Names of its metrics for `vitpose.load_metric`, the primary one first.
        license: Of annotations and photos, in words.
        homepage: Address of its page.
        padding: Factor on the sides of the box in published results.
        detections: File of the published detector boxes, by split.
        any_split: Places of a split of any other name, which replaces `{split}`.
    """

    name: str
    title: str
    schema: str
    reader: Callable[..., Dataset]
    splits: Mapping[str, tuple[Place, ...]]
    metrics: tuple[MetricName, ...]
    license: str
    homepage: str
    padding: float = BOX_PADDING
    detections: Mapping[str, str] = field(default_factory=dict)
    any_split: tuple[Place, ...] = ()


def _places(*pairs: tuple[str, str], **options: Any) -> tuple[Place, ...]:
    return tuple(Place(annotations=annotations, images=images, options=options) for annotations, images in pairs)


def _coco_splits(annotations: str) -> dict[str, tuple[Place, ...]]:
    """`train` and `train2017` both mean COCO's 2017 files."""
    return {
        name: _places((annotations.format(split=split), f"{split}2017"))
        for split in ("train", "val")
        for name in (split, f"{split}2017")
    }


_PERSON_BOXES = "person_detection_results/COCO_{split}_detections_AP_H_{ap}_person.json"
_COCO_BOXES = dict.fromkeys(("val", "val2017"), _PERSON_BOXES.format(split="val2017", ap=56))

_DATASETS = (
    KnownDataset(
        name="coco",
        title="COCO keypoints 2017",
        schema="coco",
        reader=partial(read_coco, dataset="coco"),
        splits={
            **_coco_splits("annotations/person_keypoints_{split}2017.json"),
            "test-dev2017": _places(("annotations/image_info_test-dev2017.json", "test2017")),
        },
        any_split=_places(("annotations/person_keypoints_{split}.json", "{split}")),
        metrics=("oks_ap",),
        license="annotations CC BY 4.0; photos under Flickr's terms and the license of their owners",
        homepage="https://cocodataset.org",
        detections={**_COCO_BOXES, "test-dev2017": _PERSON_BOXES.format(split="test-dev2017", ap=609)},
    ),
    KnownDataset(
        name="coco_wholebody",
        title="COCO-WholeBody",
        schema="coco_wholebody",
        reader=read_wholebody,
        splits=_coco_splits("annotations/coco_wholebody_{split}_v1.0.json"),
        metrics=("wholebody_ap",),
        license="annotations for research, not for commercial use; photos as COCO",
        homepage="https://github.com/jin-s13/COCO-WholeBody",
        detections=_COCO_BOXES,
    ),
    KnownDataset(
        name="aic",
        title="AI Challenger",
        schema="aic",
        reader=read_aic,
        splits={
            "train": _places(
                (
                    "annotations/aic_train.json",
                    "ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902",
                ),
                (
                    "ai_challenger_keypoint_train_20170902/keypoint_train_annotations_20170909.json",
                    "ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902",
                ),
            ),
            "val": _places(
                (
                    "annotations/aic_val.json",
                    "ai_challenger_keypoint_validation_20170911/keypoint_validation_images_20170911",
                ),
                (
                    "ai_challenger_keypoint_validation_20170911/keypoint_validation_annotations_20170911.json",
                    "ai_challenger_keypoint_validation_20170911/keypoint_validation_images_20170911",
                ),
            ),
        },
        metrics=("oks_ap",),
        license="for research and education, under the terms of the AI Challenger competition",
        homepage="https://github.com/AIChallenger/AI_Challenger_2017",
    ),
    KnownDataset(
        name="mpii",
        title="MPII Human Pose",
        schema="mpii",
        reader=read_mpii,
        splits={
            "train": _places(("annotations/mpii_train.json", "images")),
            "val": _places(("annotations/mpii_val.json", "images")),
            "trainval": _places(
                ("annotations/mpii_trainval.json", "images"),
                ("annotations/mpii_human_pose_v1_u12_1.mat", "images"),
                ("mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat", "images"),
            ),
        },
        metrics=("pckh",),
        license="annotations under the simplified BSD license; photos are frames of YouTube videos",
        homepage="http://human-pose.mpi-inf.mpg.de",
    ),
    KnownDataset(
        name="crowdpose",
        title="CrowdPose",
        schema="crowdpose",
        reader=partial(read_coco, dataset="crowdpose", box_share=BOX_SHARE),
        splits={
            split: _places(
                (f"annotations/mmpose_crowdpose_{split}.json", "images"), (f"json/crowdpose_{split}.json", "images")
            )
            for split in ("train", "val", "trainval", "test")
        },
        metrics=("crowdpose_ap",),
        license="for research, not for commercial use; photos of COCO, MPII and AI Challenger under their terms",
        homepage="https://github.com/Jeff-sjtu/CrowdPose",
        detections={"test": "annotations/det_for_crowd_test_0.1_0.5.json"},
    ),
    KnownDataset(
        name="ochuman",
        title="OCHuman",
        schema="ochuman",
        reader=read_ochuman,
        splits={
            split: (
                *_places((f"annotations/ochuman_coco_format_{split}_range_0.00_1.00.json", "images")),
                *_places((f"ochuman_coco_format_{split}_range_0.00_1.00.json", "images")),
                *_places(("annotations/ochuman.json", "images"), ("ochuman.json", "images"), part=split),
            )
            for split in ("val", "test")
        },
        metrics=("oks_ap",),
        license="for research, not for commercial use",
        homepage="https://github.com/liruilong940607/OCHumanApi",
    ),
    KnownDataset(
        name="ap10k",
        title="AP-10K",
        schema="ap10k",
        reader=partial(read_coco, dataset="ap10k"),
        splits={
            name: _places((f"annotations/ap10k-{split}-split{number}.json", "data"))
            for split in ("train", "val", "test")
            for name, number in ((split, 1), *((f"{split}-split{number}", number) for number in (1, 2, 3)))
        },
        metrics=("oks_ap",),
        license="not for commercial use",
        homepage="https://github.com/AlexTheBad/AP-10K",
    ),
    KnownDataset(
        name="apt36k",
        title="APT-36K",
        schema="apt36k",
        reader=partial(read_coco, dataset="apt36k"),
        splits={
            split: _places((f"annotations/{split}_annotations_1.json", "."), (f"annotations/{split}.json", "."))
            for split in ("train", "val", "test")
        },
        metrics=("oks_ap",),
        license="MIT for the project; photos are frames of YouTube videos",
        homepage="https://github.com/pandorgan/APT-36K",
    ),
    KnownDataset(
        name="interhand2d",
        title="InterHand2.6M",
        schema="interhand2d",
        reader=read_interhand,
        splits={
            split: _places(
                *(
                    (f"annotations/{folder}/InterHand2.6M_{split}_data.json", f"images/{split}")
                    for folder in ("all", "machine_annot", "human_annot", split)
                )
            )
            for split in ("train", "val", "test")
        },
        metrics=("keypoint_auc", "pck", "end_point_error"),
        license="CC BY-NC 4.0",
        homepage="https://mks0601.github.io/InterHand2.6M",
        padding=1.5,
    ),
    KnownDataset(
        name="lsp",
        title="Leeds Sports Pose",
        schema="lspet",
        reader=read_lsp,
        splits={
            "train": _places(("joints.mat", "images"), last=1000),
            "test": _places(("joints.mat", "images"), first=1000),
        },
        metrics=("torso_pck",),
        license="none is stated; photos from Flickr",
        homepage="http://sam.johnson.io/research/lsp.html",
    ),
    KnownDataset(
        name="lspet",
        title="Leeds Sports Pose Extended",
        schema="lspet",
        reader=partial(read_lsp, dataset="lspet"),
        splits={"train": _places(("joints.mat", "images"))},
        metrics=("torso_pck",),
        license="none is stated; photos from Flickr",
        homepage="http://sam.johnson.io/research/lspet.html",
    ),
    KnownDataset(
        name="halpe26",
        title="Halpe, body and feet",
        schema="halpe26",
        reader=read_halpe26,
        splits={
            "train": _places(("annotations/halpe_train_v1.json", "hico_20160224_det/images/train2015")),
            "val": _places(("annotations/halpe_val_v1.json", "val2017")),
        },
        metrics=("oks_ap",),
        license="for research, not for commercial use; photos of HICO-DET and COCO under their terms",
        homepage="https://github.com/Fang-Haoshu/Halpe-FullBody",
        detections={"val": _PERSON_BOXES.format(split="val2017", ap=56)},
    ),
)
KNOWN_DATASETS = {known.name: known for known in _DATASETS}
