"""Which figure finds the photos with the largest errors: peaks, the mirrored photo, or the spread of the heatmaps.

Run: ``python benchmarks/picking.py`` on generated people, a quarter each left alone, blurred, covered and noisy; about
two minutes on one CPU thread. ``--lspet val.parquet`` measures real athletes instead, from a Parquet file with the
columns image, bbox and keypoints in the order of Leeds Sports Pose. Prints a Markdown table.

The error of a person is the mean distance of the labeled keypoints in shares of the box's size, the root of its area. A
figure is good where it orders people as the error does (rank correlation), and where the tenth that it picks first has
a larger error than people have on average, which is what picking at random gives.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

import vitpose
from vitpose import KeypointDetectionPipeline, SyntheticPeople, get_keypoint_schema
from vitpose.modeling.flipping_vitpose import flip_heatmaps
from vitpose.processing.images_vitpose import to_rgb_tensor
from vitpose.processing.prediction_vitpose import PosePredictor, cut_crops, locate_keypoints


class Person(NamedTuple):
    """A photo, the box of its person `(4,)` and its keypoints `(17, 3)`."""

    photo: Image.Image
    bbox: list[float]
    keypoints: np.ndarray


def degraded_people(count: int, seed: int) -> Iterator[Person]:
    """Generated people, three quarters of them made harder to see."""
    people, random = SyntheticPeople(num_people=count, seed=seed, style="street"), np.random.default_rng(seed)
    for index in range(count):
        row = people[index]
        yield Person(_degraded(row["image"], random), row["bbox"], np.reshape(row["keypoints"], (17, 3)))


def _degraded(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    kind, strength = random.integers(4), random.uniform()
    if kind == 0:
        return photo
    if kind == 1:
        return photo.filter(ImageFilter.GaussianBlur(1 + 5 * strength))
    pixels = np.asarray(photo).astype(float)
    if kind == 2:
        sides = (np.array(pixels.shape[:2]) * (0.2 + 0.3 * strength)).astype(int)
        top, left = (random.uniform(0, 1, 2) * (pixels.shape[:2] - sides)).astype(int)
        pixels[top : top + sides[0], left : left + sides[1]] = 128
    else:
        pixels += random.normal(0, 10 + 50 * strength, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def athletes(path: Path, count: int) -> Iterator[Person]:
    """Real people of Leeds Sports Pose, with their twelve limb joints in COCO's places."""
    coco, lspet = get_keypoint_schema("coco"), get_keypoint_schema("lspet")
    table = vitpose.data.read_people(str(path), schema=lspet)
    for row in table.select(range(min(count, len(table)))).cast_column("image", _decoded()):
        keypoints = np.zeros((17, 3))
        for name, point in zip(lspet.keypoints, row["keypoints"], strict=True):
            if name in coco.keypoints:
                keypoints[coco.keypoints.index(name)] = point
        yield Person(row["image"].convert("RGB"), row["bbox"], keypoints)


def _decoded() -> object:
    from datasets import Image as ImageFeature

    return ImageFeature(decode=True)


@torch.no_grad()
def measure(predictor: PosePredictor, person: Person) -> tuple[float, dict[str, float]]:
    """The error of a person, and the figures that may foretell it."""
    box = torch.tensor([person.bbox], dtype=torch.float64)
    crops = cut_crops(to_rgb_tensor(person.photo), box, predictor.settings)
    plain = predictor.heatmaps(crops.pixel_values)
    mirrored = flip_heatmaps(predictor.heatmaps(crops.pixel_values.flip(-1)), predictor.schema.flip_index)
    average = (plain + mirrored) / 2
    (points, scores), (others, _), (_, plain_scores) = (
        locate_keypoints(maps, crops.matrices, predictor.settings) for maps in (average, mirrored, plain)
    )
    own, _ = locate_keypoints(plain, crops.matrices, predictor.settings)
    size = float(box[0, 2:].prod().sqrt())
    labeled = person.keypoints[:, 2] > 0
    error = np.linalg.norm(points[0].numpy() - person.keypoints[:, :2], axis=1)[labeled].mean() / size
    figures = {
        "peaks of the average (`People.uncertainties`)": 1 - scores.mean().item(),
        "peaks without the mirrored photo": 1 - plain_scores.mean().item(),
        "distance to the mirrored keypoints": (own - others).norm(dim=-1).mean().item() / size,
        "spread of the average": spread(average).mean().item(),
        "entropy of the average": entropy(average).mean().item(),
    }
    return float(error), figures


def spread(heatmaps: Tensor) -> Tensor:
    """Standard deviation of each map taken as a distribution, `(N, K)`, heatmap pixels."""
    height, width = heatmaps.shape[-2:]
    mass = heatmaps.double().clamp(min=0)
    mass = mass / mass.sum((-2, -1), keepdim=True).clamp(min=1e-9)
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    variance = sum((mass * axis**2).sum((-2, -1)) - (mass * axis).sum((-2, -1)) ** 2 for axis in (x, y))
    return torch.as_tensor(variance).clamp(min=0).sqrt()


def entropy(heatmaps: Tensor) -> Tensor:
    """Entropy of each map taken as a distribution, `(N, K)`, nats."""
    mass = heatmaps.double().clamp(min=0)
    mass = mass / mass.sum((-2, -1), keepdim=True).clamp(min=1e-9)
    return -(mass * mass.clamp(min=1e-12).log()).sum((-2, -1))


def ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value, from 0."""
    return values.argsort().argsort()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lspet", type=Path, metavar="FILE", help="Parquet file of real athletes")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    predictor = KeypointDetectionPipeline.from_pretrained(vitpose.TINY_CHECKPOINT).predictor()
    people = athletes(chosen.lspet, chosen.people) if chosen.lspet else degraded_people(chosen.people, chosen.seed)
    measured = [measure(predictor, person) for person in people]
    errors = np.array([error for error, _ in measured])
    print(f"{len(errors)} people, mean error {errors.mean():.3f} of the box's size\n")
    print("| figure | rank correlation with the error | error of the tenth picked first, by the mean |")
    print("|---|---:|---:|")
    for name in measured[0][1]:
        figures = np.array([own[name] for _, own in measured])
        first = figures.argsort()[::-1][: max(1, len(errors) // 10)]
        correlation = np.corrcoef(ranks(figures), ranks(errors))[0, 1]
        print(f"| {name} | {correlation:.3f} | {errors[first].mean() / errors.mean():.2f} |")


if __name__ == "__main__":
    main()
