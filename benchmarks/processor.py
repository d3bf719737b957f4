"""Time the image processor beside the stock VitPose processor: photo to crops, heatmaps to keypoints.

Run: ``python benchmarks/processor.py``; about a minute on one CPU thread. Prints Markdown tables of ms a person.

Both processors run in one process and take turns, on one thread; figures are medians of process CPU time. Only ratios
of one run mean something. The copy floor is what it costs to cut unscaled pixels out of the same photo and normalise
them, which no crop can undercut.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from vitpose import ViTPoseImageProcessor
from vitpose.processing.heatmaps_vitpose import encode_heatmaps

WIDTH, HEIGHT = 1920, 1080
CROP_SIZE, HEATMAP_SIZE = (256, 192), (64, 48)


def make_photo(seed: int) -> Image.Image:
    """A photo-like picture: coarse blobs of colour under fine grain."""
    generator = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.rand(1, 3, 27, 48, generator=generator), (HEIGHT, WIDTH), mode="bicubic")[0]
    grain = torch.randn(3, HEIGHT, WIDTH, generator=generator)
    pixels = (blobs * 255 + grain * 8).clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def make_boxes(num_people: int, seed: int) -> list[list[list[float]]]:
    """Boxes of standing people between 150 and 600 pixels tall, wholly inside the photo."""
    random = np.random.default_rng(seed)
    heights = random.uniform(150, 600, num_people)
    widths = heights * random.uniform(0.3, 0.6, num_people)
    left, top = random.uniform(0, WIDTH - widths), random.uniform(0, HEIGHT - heights)
    return [np.stack([left, top, widths, heights], axis=1).tolist()]


def make_outputs(num_people: int, num_keypoints: int, seed: int) -> SimpleNamespace:
    """Heatmaps as a good model gives them: a Gaussian for each keypoint and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(num_people, num_keypoints, 2, generator=generator) * torch.tensor([191.0, 255.0])
    visible = torch.ones(num_people, num_keypoints)
    heatmaps, _ = encode_heatmaps(points, visible, crop_size=CROP_SIZE, heatmap_size=HEATMAP_SIZE)
    return SimpleNamespace(heatmaps=heatmaps + 0.01 * torch.rand(heatmaps.shape, generator=generator))


def medians_ms(rounds: int, *candidates: Callable[[], object]) -> list[float]:
    """Median milliseconds of each candidate; they take turns, so that a busy machine slows all of them alike."""
    for candidate in candidates:
        candidate()
    seconds: list[list[float]] = [[] for _ in candidates]
    for _ in range(rounds):
        for candidate, own in zip(candidates, seconds, strict=True):
            start = time.process_time()
            candidate()
            own.append(time.process_time() - start)
    return [statistics.median(own) * 1e3 for own in seconds]


def copy_floor(photo: Image.Image, num_people: int) -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(photo.tobytes()), dtype=torch.uint8).view(HEIGHT, WIDTH, 3).permute(2, 0, 1)
    height, width = CROP_SIZE
    return (
        torch.stack([pixels[:, :height, 8 * i : 8 * i + width].float() for i in range(num_people)]).mul_(0.01).sub_(2)
    )


def time_crops(rounds: int) -> None:
    photo, stock, ours = make_photo(seed=0), VitPoseImageProcessorPil(), ViTPoseImageProcessor()
    print(f"\n### Crops: one {WIDTH}x{HEIGHT} PIL photo to normalised crops, ms a person\n")
    print("| people | stock | vitpose | ratio | copy floor |\n|---:|---:|---:|---:|---:|")
    for num_people in (1, 5, 20, 50):
        boxes = make_boxes(num_people, seed=num_people)
        times = medians_ms(
            rounds,
            lambda boxes=boxes: stock(photo, boxes=boxes, return_tensors="pt"),
            lambda boxes=boxes: ours(photo, boxes=boxes, return_tensors="pt"),
            lambda count=num_people: copy_floor(photo, count),
        )
        theirs, mine, floor = (value / num_people for value in times)
        print(f"| {num_people} | {theirs:.2f} | {mine:.2f} | {theirs / mine:.1f}x | {floor:.2f} |")


def time_decoding(rounds: int) -> None:
    stock, ours = VitPoseImageProcessorPil(), ViTPoseImageProcessor()
    print("\n### Keypoints: 64x48 heatmaps of 20 people to keypoints in the image, ms a person\n")
    print("| keypoints | stock | vitpose | ratio |\n|---:|---:|---:|---:|")
    boxes = make_boxes(20, seed=20)
    for num_keypoints in (17, 133):
        outputs = make_outputs(20, num_keypoints, seed=num_keypoints)
        theirs, mine = medians_ms(
            rounds,
            lambda outputs=outputs: stock.post_process_pose_estimation(outputs, boxes=boxes),
            lambda outputs=outputs: ours.post_process_pose_estimation(outputs, boxes=boxes),
        )
        print(f"| {num_keypoints} | {theirs / 20:.3f} | {mine / 20:.3f} | {theirs / mine:.1f}x |")


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the image processor beside the stock VitPose processor.")
    parser.add_argument("--rounds", type=int, default=15, help="how often each candidate runs (default: %(default)s)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{cpu_name()}, one thread, torch {torch.__version__}, medians of {rounds} rounds")
    time_crops(rounds)
    time_decoding(rounds)


if __name__ == "__main__":
    main()
