"""transformers' `Trainer` on our models and `HeatmapDataset`: trained, scored, resumed, adapted, saved and loaded."""

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.utils.data import default_collate
from transformers import AutoModel, AutoModelForPoseEstimation, EvalPrediction, Trainer, TrainingArguments, pipeline

from vitpose import (
    SyntheticPeople,
    ViTPoseConfig,
    ViTPoseForPoseEstimation,
    ViTPoseImageProcessor,
    get_keypoint_schema,
    heatmap_loss,
)
from vitpose.data import Augmentation, EpochCallback, HeatmapDataset

DATASETS = ["aic", "coco"]  # the smaller one first: batches of it alone come before those of more keypoints
ALL = ["one", "several"]


@pytest.fixture(scope="module")
def processor() -> ViTPoseImageProcessor:
    return ViTPoseImageProcessor(size={"height": 64, "width": 48}, heatmap_stride=2)


@pytest.fixture(scope="module")
def people() -> list[dict[str, Any]]:
    generated = SyntheticPeople(num_people=7, seed=3)  # no multiple of a batch
    return [generated[index] for index in range(len(generated))]


def make_model(kind: str = "one", **options: Any) -> ViTPoseForPoseEstimation:
    sizes = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    names = DATASETS if kind == "several" else ["coco"]
    torch.manual_seed(0)
    config = ViTPoseConfig.from_preset("tiny", datasets=names, **{**sizes, "drop_path_rate": 0.2, **options})
    return ViTPoseForPoseEstimation(config)


@pytest.fixture
def make_data(people, processor) -> Callable[..., HeatmapDataset]:
    """`make_data(model, **arguments of HeatmapDataset)`: a model of several datasets gets people of both."""

    def make(model: ViTPoseForPoseEstimation, **arguments: Any) -> HeatmapDataset:
        coco, aic = get_keypoint_schema("coco"), get_keypoint_schema("aic")
        rows: Any = people
        if model.config.num_datasets > 1:
            points = [dict(zip(coco.keypoints, person["keypoints"], strict=True)) for person in people]
            known = [[own.get(name, [0.0, 0.0, 0.0]) for name in aic.keypoints] for own in points]
            others = [{**person, "keypoints": own} for person, own in zip(people, known, strict=True)]
            rows = {"aic": others, "coco": people[:4]}
        return HeatmapDataset(rows, config=model.config, processor=processor, **arguments)

    return make


@pytest.fixture
def make_trainer(tmp_path, processor) -> Callable[..., Trainer]:
    """`make_trainer(model, train, evaluation, **TrainingArguments)`, six steps of three people."""

    def make(model: Any, train: Any, evaluation: Any = None, *, folder: str = "run", **arguments: Any) -> Trainer:
        of_trainer = {name: arguments.pop(name) for name in ("compute_metrics", "callbacks") if name in arguments}
        defaults: dict[str, Any] = {
            "per_device_train_batch_size": 3,
            "per_device_eval_batch_size": 3,
            "max_steps": 6,
            "learning_rate": 1e-3,
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        return Trainer(
            model,
            TrainingArguments(str(tmp_path / folder), **{**defaults, **arguments}),
            train_dataset=train,
            eval_dataset=train if evaluation is None else evaluation,
            processing_class=processor,
            **of_trainer,
        )

    return make


@torch.no_grad()
def heatmaps_of(model: Any, data: HeatmapDataset) -> torch.Tensor:
    batch = default_collate([data[index] for index in range(len(data))])
    return model.eval()(**batch).heatmaps


def assert_same_weights(model: Any, other: Any) -> None:
    ours, theirs = model.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("left_out", [(), ("label_weights",)], ids=["with weights", "labels alone"])
def test_the_loss_goes_down_and_eval_loss_is_that_of_the_model(kind, left_out, make_data, make_trainer) -> None:
    model = make_model(kind, decoder="simple")
    data = [{name: value for name, value in sample.items() if name not in left_out} for sample in make_data(model)]
    trainer = make_trainer(model, data, max_steps=20)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert after < 0.9 * before
    batch = default_collate(data)
    with torch.no_grad():
        output = model.eval()(**batch)
    by_hand = heatmap_loss(output.heatmaps, batch["labels"], batch.get("label_weights"), output.keypoint_mask)
    assert after == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_compute_metrics_sees_heatmaps_and_which_are_real(kind, make_data, make_trainer) -> None:
    model = make_model(kind)
    data, seen = make_data(model), []

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        return {"largest": float(np.max(prediction.label_ids))}

    found = make_trainer(model, data, compute_metrics=metrics).evaluate()
    assert found["eval_largest"] > 0.5 and found["eval_loss"] > 0
    (prediction,) = seen
    expected = heatmaps_of(model, data)
    labels = torch.stack([sample["labels"] for sample in data])
    torch.testing.assert_close(torch.from_numpy(prediction.label_ids), labels, rtol=0, atol=0)
    if kind == "one":
        heatmaps = prediction.predictions
    else:
        heatmaps, keypoint_mask = prediction.predictions
        assert keypoint_mask.sum(axis=1).tolist() == [14] * 7 + [17] * 4
    torch.testing.assert_close(torch.from_numpy(heatmaps), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_a_resumed_training_equals_an_unbroken_one(kind, make_data, make_trainer, tmp_path) -> None:
    first, second = make_model(kind), make_model(kind)
    second.init_weights()  # other weights, which the checkpoint replaces
    trainers = []
    for model in (first, second):
        data = make_data(model, augmentation=Augmentation())
        arguments = {"save_strategy": "steps", "save_steps": 5, "num_train_epochs": 3, "max_steps": -1}
        trainers.append(make_trainer(model, data, callbacks=[EpochCallback(data)], **arguments))
    trainers[0].train()
    assert trainers[0].state.epoch == 3 and 5 % (trainers[0].state.global_step / 3)  # the fifth step ends no epoch
    trainers[1].train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-5"))
    assert_same_weights(first, second)


def test_every_epoch_of_a_training_has_its_own_augmentation(make_data, make_trainer, caplog) -> None:
    model = make_model()
    data, other = (make_data(model, augmentation=Augmentation()) for _ in range(2))
    make_trainer(model, data, callbacks=[EpochCallback(data)], num_train_epochs=2, max_steps=-1).train()
    assert not torch.equal(data[0]["pixel_values"], other[0]["pixel_values"])
    other.set_epoch(1)
    assert torch.equal(data[0]["pixel_values"], other[0]["pixel_values"])
    assert "augmentation" not in caplog.text


def test_the_best_model_is_loaded_at_the_end(make_data, make_trainer, tmp_path) -> None:
    model, scores = make_model(), [0.2, 0.9, 0.1]
    arguments = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    trainer = make_trainer(
        model,
        make_data(model),
        compute_metrics=lambda prediction: {"score": scores.pop(0)},
        load_best_model_at_end=True,
        metric_for_best_model="score",
        **arguments,
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint == str(tmp_path / "run" / "checkpoint-4")
    assert_same_weights(trainer.model, ViTPoseForPoseEstimation.from_pretrained(tmp_path / "run" / "checkpoint-4"))


DOORS = {
    "ours": ViTPoseForPoseEstimation.from_pretrained,
    "AutoModel": AutoModel.from_pretrained,
    "pipeline": lambda folder: pipeline("keypoint-detection", model=str(folder)).model,
}


@pytest.mark.parametrize("kind", ALL)
def test_what_trainer_saves_opens_every_door(kind, make_data, make_trainer, processor, tmp_path) -> None:
    model = make_model(kind)
    trainer = make_trainer(model, make_data(model), max_steps=2, save_strategy="steps", save_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    expected = heatmaps_of(model, trainer.eval_dataset)
    for folder in ("saved", "run/checkpoint-2"):
        assert ViTPoseImageProcessor.from_pretrained(tmp_path / folder).settings == processor.settings
        for door, load in DOORS.items():
            assert torch.equal(heatmaps_of(load(tmp_path / folder), trainer.eval_dataset), expected), door
    if kind == "one":
        pixels = default_collate([sample["pixel_values"] for sample in trainer.eval_dataset])
        stock = AutoModelForPoseEstimation.from_pretrained(tmp_path / "saved").eval()
        torch.testing.assert_close(stock(pixels).heatmaps.detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "lora"),
    [
        pytest.param("one", {"target_modules": ["query", "value"], "modules_to_save": ["head"]}, id="one"),
        pytest.param(
            "several", {"target_modules": r".*mlp\.(fc1|experts\.\d)", "modules_to_save": ["heads"]}, id="several"
        ),
    ],
)
def test_adapters_are_trained_resumed_saved_loaded_and_merged(kind, lora, make_data, make_trainer, tmp_path) -> None:
    arguments = {"save_strategy": "steps", "save_steps": 4, "learning_rate": 1e-2}
    trainers = []
    for _ in range(2):
        adapted = get_peft_model(make_model(kind), LoraConfig(r=4, **lora))
        trainers.append(make_trainer(adapted, make_data(adapted), **arguments))
    trainer, again = trainers
    trainer.train()
    assert trainer.evaluate()["eval_loss"] > 0
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-4"))
    assert_same_weights(trainer.model, again.model)

    trainer.save_model(str(tmp_path / "adapter"))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    loaded = PeftModel.from_pretrained(make_model(kind), tmp_path / "adapter")
    expected = heatmaps_of(trainer.model, trainer.eval_dataset)
    assert torch.equal(heatmaps_of(loaded, trainer.eval_dataset), expected)
    assert not torch.allclose(heatmaps_of(make_model(kind), trainer.eval_dataset), expected, atol=1e-3)

    loaded.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = AutoModel.from_pretrained(tmp_path / "merged")
    assert isinstance(merged, ViTPoseForPoseEstimation)
    torch.testing.assert_close(heatmaps_of(merged, trainer.eval_dataset), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_recomputed_activations_change_no_weight(kind, make_data, make_trainer) -> None:
    plain, saving = make_model(kind), make_model(kind)
    name = "activation_checkpointing"  # newer releases of transformers
    if name not in TrainingArguments.__dataclass_fields__:
        name = "gradient_checkpointing"
    make_trainer(plain, make_data(plain)).train()
    make_trainer(saving, make_data(saving), **{name: True}).train()
    assert_same_weights(plain, saving)


@pytest.mark.parametrize("kind", ALL)
def test_bfloat16_comes_near_float32(kind, make_data, make_trainer) -> None:
    losses = []
    for bf16 in (False, True):
        model = make_model(kind)
        trainer = make_trainer(model, make_data(model), bf16=bf16)
        trainer.train()
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_accumulated_gradients_are_those_of_the_whole_batch(make_data, make_trainer) -> None:
    """Two parts of three people are a batch of six; the simple decoder has no batch statistics."""
    models = []
    for parts in (1, 2):
        model = make_model(drop_path_rate=0.0, decoder="simple")
        data = torch.utils.data.Subset(make_data(model), range(6))
        accumulated = {"per_device_train_batch_size": 6 // parts, "gradient_accumulation_steps": parts}
        make_trainer(model, data, **accumulated, max_steps=3, optim="sgd", learning_rate=1.0).train()
        models.append(model)
    start = make_model(drop_path_rate=0.0, decoder="simple")
    for name, value in models[0].named_parameters():
        assert name.endswith("key.bias") or not torch.equal(value, start.get_parameter(name)), name
        torch.testing.assert_close(models[1].get_parameter(name), value, rtol=0, atol=1e-6)


def test_the_processor_makes_samples_of_a_dataset_of_the_hub_form(people, processor, make_trainer) -> None:
    """`datasets` with a transform: `remove_unused_columns=False`, as for every model whose columns are made late."""
    rows = [{name: person[name] for name in ("image", "bbox", "keypoints")} for person in people]

    def crops(batch: dict[str, list[Any]]) -> dict[str, Any]:
        boxes, keypoints = ([[one] for one in batch[name]] for name in ("bbox", "keypoints"))
        return dict(processor(batch["image"], boxes=boxes, keypoints=keypoints, return_tensors="pt"))

    data = datasets.Dataset.from_list(rows).with_transform(crops)
    model = make_model()
    ready = HeatmapDataset(people, config=model.config, processor=processor)
    by_transform = make_trainer(model, data, remove_unused_columns=False).evaluate()["eval_loss"]
    assert by_transform == make_trainer(model, ready).evaluate()["eval_loss"]
