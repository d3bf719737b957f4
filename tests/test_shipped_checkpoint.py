"""The checkpoint inside the package is one that transformers alone can use, to the same keypoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitpose import TINY_CHECKPOINT, SyntheticPeople, ViTPoseForPoseEstimation, ViTPoseImageProcessor

STRANGER = """
import sys
sys.modules["vitpose"] = None  # as if it were not installed
import json, torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForPoseEstimation
checkpoint, folder, boxes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = AutoModelForPoseEstimation.from_pretrained(checkpoint).eval()
processor = AutoImageProcessor.from_pretrained(checkpoint)
own_crops = processor(Image.open(folder + "/person.png"), boxes=boxes, return_tensors="pt")["pixel_values"]
found = []
for crops in (torch.load(folder + "/crops.pt"), own_crops):
    with torch.no_grad():
        outputs = model(crops)
    found.append(processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]["keypoints"].tolist())
print(json.dumps(found))
"""


def test_transformers_alone_finds_the_same_keypoints(tmp_path: Path) -> None:
    row = SyntheticPeople(num_people=1, seed=5)[0]
    boxes = [[row["bbox"]]]
    row["image"].save(tmp_path / "person.png")
    model = ViTPoseForPoseEstimation.from_pretrained(TINY_CHECKPOINT).eval()
    processor = ViTPoseImageProcessor.from_pretrained(TINY_CHECKPOINT)
    inputs = processor(Image.open(tmp_path / "person.png"), boxes=boxes, return_tensors="pt")
    torch.save(inputs["pixel_values"], tmp_path / "crops.pt")
    with torch.no_grad():
        outputs = model(**inputs)
    person = processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]
    assert person["scores"].min() > 0.2, "maps as weak as this would not be worth comparing"
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, str(TINY_CHECKPOINT), str(tmp_path), json.dumps(boxes)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    same_crops, own_crops = np.array(json.loads(result.stdout.splitlines()[-1]))  # (17, 2) each, image pixels
    ours = person["keypoints"].numpy()
    assert np.linalg.norm(ours - same_crops, axis=1).max() <= 0.01
    # its own crops are rounded to whole grey levels, ours are not
    assert np.linalg.norm(ours - own_crops, axis=1).max() <= 0.1


def test_first_contact_prints_no_warning(tmp_path: Path) -> None:
    """What a stranger does first says nothing but its bars and its result."""
    SyntheticPeople(num_people=1, seed=5)[0]["image"].save(tmp_path / "person.png")
    command = [sys.executable, "-m", "vitpose", "predict", "person.png", "--model", "tiny", "--out", "poses"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip() and "%|" not in line]
    hint = "--model tiny has seen drawn people only; one person fills each photo. Name a --detector to find people."
    assert lines == [hint, "1 person in 1 of 1 photos: poses"]
