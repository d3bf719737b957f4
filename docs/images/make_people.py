"""Draw the README's picture, people as the shipped checkpoint sees them: `python docs/images/make_people.py`."""

from pathlib import Path

import vitpose
from vitpose.processing.drawing import contact_sheet

STYLES = ("studio", "street")
PEOPLE_A_STYLE = 6
SEED = 2026  # no training run uses it


def main() -> None:
    """Predict people of both styles in their annotated boxes, and draw them in two rows."""
    pipe = vitpose.KeypointDetectionPipeline.from_pretrained(vitpose.TINY_CHECKPOINT)
    pictures = []
    for style in STYLES:
        rows = vitpose.SyntheticPeople(num_people=PEOPLE_A_STYLE, seed=SEED, style=style)
        for row in (rows[index] for index in range(len(rows))):
            people = pipe.find_people(row["image"], boxes=[row["bbox"]])
            pictures.append(vitpose.draw_poses(row["image"], people))
    sheet = contact_sheet(pictures, columns=PEOPLE_A_STYLE, tile=(280, 200))
    sheet.quantize(200, dither=0).save(Path(__file__).with_name("people.png"), optimize=True)


if __name__ == "__main__":
    main()
