"""Images a second of the training loader by workers, beside as many workers that only decode the same JPEG files.

For a GPU, workers hand over the part of each photo that a crop is cut from, and it cuts; for a CPU they cut themselves.

    python benchmarks/loader.py

Photographs are generated, 640x480 like most of COCO's, one person each; crops of 256x192 are augmented with the figures
of the released configs. The floor is a loader whose workers decode each file with Pillow and do nothing else; all take
turns, and medians over the rounds are shown.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from vitpose import get_keypoint_schema
from vitpose.base.machine import usable_cores
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.samples.crops import CropCollator
from vitpose.training.samples.loaders import EpochSampler
from vitpose.training.samples.pose import Augmentation, PoseDataset

SIZE = 640, 480  # width, height
AUGMENTATION = Augmentation(flip_probability=0.5, half_body_probability=0.3, scale=0.5, rotation=40.0)


def write_photos(folder: Path, count: int) -> list[dict]:
    """Photographs of coarse and fine structure with about the bytes of COCO's; rows as the readers give them."""
    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)).resize(SIZE, Image.BICUBIC)
        fine = rng.normal(0, 12, (SIZE[1], SIZE[0], 1))
        path = folder / f"{number}.jpg"
        Image.fromarray((np.asarray(coarse) + fine).clip(0, 255).astype(np.uint8)).save(path, quality=90)
        left, top, width, height = rng.uniform((20, 20, 80, 160), (300, 120, 300, 340)).tolist()
        points = rng.uniform((left, top), (left + width, top + height), (17, 2))
        rows.append(
            {
                "image": {"bytes": None, "path": str(path)},
                "bbox": [left, top, width, height],
                "keypoints": np.concatenate([points, np.full((17, 1), 2.0)], axis=1).tolist(),
                **{"width": SIZE[0], "height": SIZE[1], "image_id": number, "person_id": number},
            }
        )
    return rows


class Decoding(Dataset):
    """The floor: every file to RGB pixels, which nobody takes."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> int:
        with Image.open(self.rows[key[1]]["image"]["path"]) as photo:
            photo.convert("RGB").load()
        return key[1]


def make_loader(dataset: Dataset, workers: int, batch_size: int, collate: Callable | None) -> DataLoader:
    """As a run builds it."""
    return DataLoader(
        dataset, batch_size=batch_size, sampler=EpochSampler(len(dataset), seed=0), num_workers=workers,
        collate_fn=collate, persistent_workers=workers > 0,  # so that their start is not counted
    )  # fmt: skip


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = write_photos(Path(folder), given.images)
        size = sum(Path(row["image"]["path"]).stat().st_size for row in rows) / len(rows) / 1000
        schema = get_keypoint_schema("coco")
        people = PoseDataset(rows, schema=schema, settings=ProcessorSettings(), augmentation=AUGMENTATION, cut=False)
        kinds = {
            "floor": (Decoding(rows), None),
            "gpu": (people, CropCollator(settings=people.settings, on_device=True)),
            "cpu": (people, CropCollator(settings=people.settings, on_device=False)),
        }
        loaders = {
            (kind, workers): make_loader(dataset, workers, given.batch_size, collate)
            for workers in given.workers
            for kind, (dataset, collate) in kinds.items()
        }
        times: dict[tuple[str, int], list[float]] = {which: [] for which in loaders}
        for _ in range(given.rounds + 1):
            for which, loader in loaders.items():
                times[which].append(seconds_of(lambda loader=loader: list(loader)))
    speed = {which: given.images / statistics.median(own[1:]) for which, own in times.items()}  # the first warms up
    print(f"{given.images} JPEG files of {size:.0f} kB on average, {usable_cores()} core(s)\n")
    print("| workers | decoding alone, images/s | for a GPU | share | cut by the workers | share |")
    print("|---:|---:|---:|---:|---:|---:|")
    for workers in given.workers:
        floor, *own = (speed[kind, workers] for kind in ("floor", "gpu", "cpu"))
        print(f"| {workers} | {floor:.1f} | " + " | ".join(f"{each:.1f} | {each / floor:.0%}" for each in own) + " |")


if __name__ == "__main__":
    main()
