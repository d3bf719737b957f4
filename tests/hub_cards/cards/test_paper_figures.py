"""What cards print of the papers is what the papers print: every figure, restated here."""

import re

import pytest

from vitpose import ViTPoseConfig, write_model_card
from vitpose.hub_cards.cards.paper_figures import paper_results
from vitpose.modeling.keypoint_schemas import list_keypoint_schemas

PRESETS = {"S": "small", "B": "base", "L": "large", "H": "huge", "G": "giant", "none": "tiny"}
# ViTPose paper, table 1 and figures of its release; ViTPose++ paper. Percent; sizes that are left out have no figure.
PUBLISHED = {
    ("coco", "classic", "AP"): {"S": 73.8, "B": 75.8, "L": 78.3, "H": 79.1, "G": 81.0},
    ("coco", "classic", "AR"): {"S": 79.2, "B": 81.1, "L": 83.5, "H": 84.1},
    ("coco", "simple", "AP"): {"S": 73.5, "B": 75.5, "L": 78.2, "H": 78.9, "G": 81.0},
    ("coco", "simple", "AR"): {"S": 78.9, "B": 80.9, "L": 83.4, "H": 84.0},
    ("mpii", "classic", "PCKh"): {"B": 93.3, "L": 94.0, "H": 94.1},
    ("ap10k", "classic", "AP"): {"S": 71.4, "B": 74.5, "L": 80.4, "H": 82.4},
    ("apt36k", "classic", "AP"): {"S": 74.2, "B": 75.9, "L": 80.8, "H": 82.3},
    ("coco_wholebody", "classic", "AP"): {"S": 54.4, "B": 57.4, "L": 60.6, "H": 61.2},
    ("aic", "classic", "AP"): {"S": 29.7, "B": 31.8, "L": 34.3, "H": 34.8},
    ("interhand2d", "classic", "AUC"): {"S": 86.5, "B": 87.0, "L": 87.5, "H": 87.6},
    ("crowdpose", "classic", "AP"): {"B": 74.7, "L": 76.6, "H": 76.3},
}
VITPOSE, VITPOSE_PLUS = "2204.12484", "2212.04246"


@pytest.mark.parametrize("decoder", ["classic", "simple"])
@pytest.mark.parametrize("size", PRESETS)
def test_every_figure_is_the_published_one_and_there_are_no_others(size: str, decoder: str) -> None:
    config = ViTPoseConfig.from_preset(PRESETS[size], decoder=decoder)
    found = {
        (schema, result.metric): result.value
        for schema in list_keypoint_schemas()
        for result in paper_results(config, schema)
    }
    expected = {
        (schema, metric): values[size]
        for (schema, of, metric), values in PUBLISHED.items()
        if size in values and (of == decoder or schema != "coco")
    }
    assert found == expected


@pytest.mark.parametrize(
    ("size", "schema", "paper"),
    [
        ("B", "coco", VITPOSE),
        ("G", "coco", VITPOSE),
        ("H", "mpii", VITPOSE),
        ("S", "ap10k", VITPOSE_PLUS),
        ("L", "crowdpose", VITPOSE_PLUS),
        ("S", "coco", "the authors' release"),
    ],
)
def test_each_names_its_source_and_its_model(size: str, schema: str, paper: str) -> None:
    for result in paper_results(ViTPoseConfig.from_preset(PRESETS[size]), schema):
        assert paper in result.source and result.model.startswith(f"ViTPose-{size}")


def test_a_card_prints_them_as_they_are(tmp_path) -> None:
    """One row a figure, of all datasets of the model, in their order."""
    datasets = ["coco", "aic", "mpii", "ap10k"]
    config = ViTPoseConfig.from_preset("base", datasets=datasets)
    text = write_model_card(tmp_path / "my-pose", model_config=config, picture=None).read_text()
    rows = re.findall(r"^\| ViTPose-B[^|]* \| ([^|]+) \| (\w+) \| ([\d.]+) % \|", text, re.MULTILINE)
    printed = [(metric, float(value)) for _, metric, value in rows]
    assert printed == [("AP", 75.8), ("AR", 81.1), ("AP", 31.8), ("PCKh", 93.3), ("AP", 74.5)]
