"""Draw the start page's picture, the way of a photo to its keypoints: `python docs/images/make_way.py`.

The photo is NASA's portrait of Eileen Collins, in the public domain, as scikit-image ships it. Nothing is fetched here,
so box and keypoints are marked by hand, and the heatmaps are those that a model learns to give for them; crop, heatmaps
and drawing are the library's own.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw
from skimage.data import astronaut

import vitpose

BOX = [22, 10, 345, 502]  # x, y, width, height in image pixels
MARKED = {
    "nose": (224, 122),
    "left_eye": (245, 104),
    "right_eye": (203, 105),
    "left_ear": (274, 112),
    "right_ear": (176, 116),
    "left_shoulder": (325, 268),
    "right_shoulder": (92, 262),
    "right_elbow": (48, 415),
    "right_wrist": (148, 492),
}
TITLES = (
    "a photo, and a person in it",
    "the crop that the model sees",
    "a heatmap for each keypoint",
    "their peaks, drawn",
)


def main() -> None:
    """Box, crop, heatmaps and drawing of one person, side by side."""
    photo = Image.fromarray(astronaut())
    processor = vitpose.ViTPoseImageProcessor.from_pretrained(vitpose.TINY_CHECKPOINT)
    schema = vitpose.get_keypoint_schema("coco")
    keypoints = [[*MARKED.get(name, (0, 0)), 2 * (name in MARKED)] for name in schema.keypoints]
    batch = processor(photo, boxes=[[BOX]], keypoints=[[keypoints]], return_tensors="pt")
    crop = batch["pixel_values"][0].permute(1, 2, 0).numpy()
    crop = np.clip(crop * processor.image_std + processor.image_mean, 0, 1)
    heatmaps = batch["labels"][0].amax(0).numpy()  # all of them in one

    boxed = photo.copy()
    x, y, width, height = BOX
    ImageDraw.Draw(boxed).rectangle([x, y, x + width, y + height], outline="#00bfa5", width=5)
    person = {"keypoints": [point[:2] for point in keypoints], "scores": [point[2] / 2 for point in keypoints]}
    drawn = vitpose.draw_poses(photo, [person], schema)

    figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), width_ratios=[4, 3, 3, 4], constrained_layout=True)
    for axis, title in zip(axes, TITLES, strict=True):
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    axes[0].imshow(boxed)
    axes[1].imshow(crop)
    axes[2].imshow(crop, extent=(0, 48, 64, 0), alpha=0.35)
    axes[2].imshow(heatmaps, extent=(0, 48, 64, 0), cmap="magma", alpha=0.75)
    axes[3].imshow(drawn)
    figure.set_dpi(110)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    picture.quantize(200, dither=0).save(Path(__file__).with_name("way.png"), optimize=True)


if __name__ == "__main__":
    main()
