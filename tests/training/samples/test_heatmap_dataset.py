"""`HeatmapDataset`: what it gives for each person, of one dataset and of several, and what it refuses."""

import logging
from typing import Any

import datasets
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from vitpose import SyntheticPeople, ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose.data import Augmentation, HeatmapDataset, read_people

PROCESSOR = ViTPoseImageProcessor(size={"height": 64, "width": 48}, heatmap_stride=2)


@pytest.fixture(scope="module")
def people() -> list[dict[str, Any]]:
    generated = SyntheticPeople(num_people=5, seed=3)
    return [generated[index] for index in range(len(generated))]


def make_config(*names: str, **options: Any) -> ViTPoseConfig:
    sizes = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, **options}
    return ViTPoseConfig.from_preset("tiny", datasets=names, **sizes)


def with_keypoints(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [{**row, "keypoints": (row["keypoints"] * 8)[:count]} for row in rows]


def test_samples_are_what_the_processor_makes(people) -> None:
    data = HeatmapDataset(people, config=make_config("coco"), processor=PROCESSOR)
    boxes, keypoints = ([[person[name]] for person in people] for name in ("bbox", "keypoints"))
    expected = PROCESSOR([person["image"] for person in people], boxes=boxes, keypoints=keypoints)
    batch = default_collate([data[index] for index in range(len(data))])
    assert list(batch) == ["pixel_values", "labels", "label_weights"]
    for name, values in batch.items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-5)
    assert 0 < batch["label_weights"].mean() < 1
    assert batch["labels"][batch["label_weights"] == 0].abs().max() == 0
    assert torch.equal(data[-1]["labels"], data[4]["labels"])
    with pytest.raises(IndexError, match="below 5"):
        data[5]


def test_people_of_several_datasets_have_one_shape_and_their_index(people) -> None:
    config = make_config("coco", "interhand2d", "aic")
    rows = {"aic": with_keypoints(people[:2], 14), "coco": people}
    data = HeatmapDataset(rows, config=config, processor=PROCESSOR)
    (batch,) = DataLoader(data, batch_size=7)
    assert batch["dataset_index"].tolist() == [2, 2, 0, 0, 0, 0, 0]
    assert batch["labels"].shape == (7, 21, 32, 24)
    assert batch["labels"][:2, 14:].abs().max() == batch["labels"][2:, 17:].abs().max() == 0
    assert batch["label_weights"][:2, 14:].max() == batch["label_weights"][2:, 17:].max() == 0
    alone = HeatmapDataset(people, config=make_config("coco"), processor=PROCESSOR)
    for index in range(5):
        assert torch.equal(batch["labels"][2 + index, :17], alone[index]["labels"])
    output = ViTPoseForPoseEstimation(config)(**batch)
    assert output.keypoint_mask.sum(dim=1).tolist() == [14, 14, 17, 17, 17, 17, 17]
    assert output.heatmaps.shape == batch["labels"].shape


def test_one_head_on_several_experts_takes_the_people_of_its_dataset(people) -> None:
    config = make_config("coco")
    config.backbone_config.num_experts, config.backbone_config.part_features = 6, 8  # as the released files
    data = HeatmapDataset(people, config=config, processor=PROCESSOR)
    assert data[0]["dataset_index"] == 0
    assert ViTPoseForPoseEstimation(config)(**default_collate([data[0]])).loss > 0


@pytest.mark.parametrize("several", [False, True])
def test_augmentation_follows_from_seed_epoch_and_index(people, several) -> None:
    config = make_config("coco", "aic") if several else make_config("coco")
    rows: Any = {"coco": people, "aic": with_keypoints(people, 14)} if several else people

    def crops(seed: int, epoch: int) -> torch.Tensor:
        data = HeatmapDataset(rows, config=config, processor=PROCESSOR, augmentation=Augmentation(), seed=seed)
        data.set_epoch(epoch)
        return default_collate([data[index] for index in reversed(range(len(data)))])["pixel_values"]

    assert torch.equal(crops(1, 2), crops(1, 2))
    assert not torch.equal(crops(1, 2), crops(1, 3))
    assert not torch.equal(crops(1, 2), crops(2, 2))


def test_workers_that_outlive_an_epoch_see_the_next(people) -> None:
    data, other = (
        HeatmapDataset(people, config=make_config("coco"), processor=PROCESSOR, augmentation=Augmentation())
        for _ in range(2)
    )
    loader = DataLoader(data, batch_size=5, num_workers=1, persistent_workers=True)
    for epoch in (0, 1, 5):
        data.set_epoch(epoch)
        other.set_epoch(epoch)
        (batch,) = loader
        assert torch.equal(batch["pixel_values"], next(iter(DataLoader(other, batch_size=5)))["pixel_values"])


@pytest.mark.parametrize(
    ("augmentation", "epochs", "told"),
    [
        pytest.param(Augmentation(), [None] * 4, 1, id="the epoch stands still"),
        pytest.param(Augmentation(), [0, 1, 2, 3], 0, id="the epoch goes on"),
        pytest.param(None, [None] * 4, 0, id="nothing is random"),
    ],
)
def test_augmentation_that_repeats_itself_is_told_once(people, augmentation, epochs, told, caplog) -> None:
    data = HeatmapDataset(people, config=make_config("coco"), processor=PROCESSOR, augmentation=augmentation)
    with caplog.at_level(logging.WARNING):
        for epoch in epochs:
            if epoch is not None:
                data.set_epoch(epoch)
            assert [len(batch["labels"]) for batch in DataLoader(data, batch_size=2)] == [2, 2, 1]
    assert caplog.text.count("EpochCallback") == told


def test_rows_that_lack_what_follows_from_others_are_read_first(people) -> None:
    config = make_config("coco")
    rows = datasets.Dataset.from_list([{name: row[name] for name in ("image", "bbox", "keypoints")} for row in people])
    with pytest.raises(ValueError, match="none called image_id, person_id, width, height.*read_people"):
        HeatmapDataset(rows, config=config, processor=PROCESSOR)
    read = HeatmapDataset(read_people(rows, schema=config.get_schema()), config=config, processor=PROCESSOR)
    ready = HeatmapDataset(people, config=config, processor=PROCESSOR)
    assert torch.equal(read[1]["labels"], ready[1]["labels"])


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        pytest.param(["coco", "aic"], "people", "expected a dictionary .* coco, aic, .* got list", id="not by dataset"),
        pytest.param(["coco", "aic"], {"aicc": "people"}, "got 'aicc'. Did you mean 'aic'", id="another dataset"),
        pytest.param(["coco", "aic"], {"aic": []}, "people of 'aic': expected at least one", id="no people"),
        pytest.param(["coco", "aic"], {}, "at least one dataset of coco, aic", id="no dataset"),
        pytest.param(["coco"], {"train": "people"}, "one of coco, got 'train'", id="a dictionary of splits"),
    ],
)
def test_people_that_are_not_the_models_are_refused(names, rows, message, people) -> None:
    if isinstance(rows, dict):
        given: Any = {name: people if own == "people" else own for name, own in rows.items()}
    else:
        given = people
    with pytest.raises(ValueError, match=message):
        HeatmapDataset(given, config=make_config(*names), processor=PROCESSOR)


def test_a_processor_of_another_size_is_refused(people) -> None:
    with pytest.raises(ValueError, match=r"HeatmapDataset: .*\(64, 48\), the model takes \(128, 96\)"):
        HeatmapDataset(people, config=make_config("coco", image_size=(128, 96)), processor=PROCESSOR)


def test_keypoints_of_another_dataset_are_refused(people) -> None:
    data = HeatmapDataset(with_keypoints(people, 14), config=make_config("coco"), processor=PROCESSOR)
    with pytest.raises(ValueError, match=r"shape \(14, 3\), the schema 'coco' expects \(17, 3\)"):
        data[0]
