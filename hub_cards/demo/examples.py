"""Photos of generated people, for the demo to start from."""

from pathlib import Path

from PIL import Image

from vitpose.training.synthetic.people import SyntheticPeople
from vitpose.training.synthetic.styles import Style

Boxes = list[list[float]]
Photo = tuple[Image.Image, Boxes]
"""An image, and the boxes x, y, width, height of its people in its pixels."""

SEEDS: dict[int, Style] = {1: "studio", 2: "street", 3: "studio", 7: "street"}


def write_examples(folder: Path) -> list[tuple[Path, Boxes]]:
    """Write generated photos, and return each path with the boxes of its people; the last shows two."""
    items = [SyntheticPeople(num_people=1, seed=seed, style=style)[0] for seed, style in SEEDS.items()]
    photos: list[Photo] = [(item["image"], [item["bbox"]]) for item in items]
    photos.append(_side_by_side(*photos[:2]))
    paths = [folder / f"example{number}.png" for number in range(1, len(photos) + 1)]
    for path, (image, _) in zip(paths, photos, strict=True):
        image.save(path)
    return [(path, boxes) for path, (_, boxes) in zip(paths, photos, strict=True)]


def _side_by_side(left: Photo, right: Photo) -> Photo:
    """Join two photos of one person each, scaled to the same height."""
    scale = left[0].height / right[0].height
    other = right[0].resize((round(right[0].width * scale), left[0].height))
    joined = Image.new("RGB", (left[0].width + other.width, left[0].height))
    joined.paste(left[0], (0, 0))
    joined.paste(other, (left[0].width, 0))
    x, y, width, height = (round(value * scale, 1) for value in right[1][0])
    return joined, [*left[1], [x + left[0].width, y, width, height]]
