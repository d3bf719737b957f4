"""A student learns from a teacher's heatmaps and its knowledge token, and a teacher that does not fit is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, get_keypoint_schema
from vitpose.training import run
from vitpose.training.engine.distillation import build_objective, load_teacher
from vitpose.training.engine.model_building import build_model
from vitpose.training.samples.loaders import build_training_loader
from vitpose.training.samples.settings import training_settings
from vitpose.training.session import run_recipe

CPU = torch.device("cpu")
TOKEN = "backbone.embeddings.knowledge.token"
SIZES = {"image_size": (64, 48), "patch_size": (8, 8), "num_hidden_layers": 2, "num_attention_heads": 2}


def save_teacher(folder: Path, *, seed: int = 3, **options: object) -> str:
    """A teacher with random weights, twice as wide as the students of `make_recipe`."""
    torch.manual_seed(seed)
    fields = {"hidden_size": 64, "decoder": "simple", **SIZES, **options}
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **fields))
    for parameter in model.parameters():
        if parameter.ndim > 1:  # as initialised, the classic decoder's maps are next to nothing
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    """The folder of a teacher without a token."""
    return save_teacher(tmp_path / "teacher")


@pytest.fixture
def teacher_with_token(tmp_path: Path) -> str:
    """The folder of a teacher with a knowledge token of its width."""
    return save_teacher(tmp_path / "teacher_with_token", knowledge_token_size=64)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Two crops with keypoints, one of them not labelled."""
    generator = torch.Generator().manual_seed(1)
    visibility = torch.full((2, 17), 2.0)
    visibility[0, 0] = 0
    keypoints = 10 + 25 * torch.rand(2, 17, 2, generator=generator)
    crops = torch.randn(2, 3, 64, 48, generator=generator)
    return {"pixel_values": crops, "keypoints_crop": keypoints, "visibility": visibility}


def mean_square(a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over batch, keypoints and pixels of the squared difference of heatmaps."""
    difference = a - b if weights is None else (a - b) * weights[:, :, None, None]
    return (difference**2).sum() / difference.numel()


@pytest.mark.parametrize("distillation", ["output", "token", "both"])
def test_the_losses_are_those_of_the_paper(make_recipe, teacher_with_token, batch, distillation) -> None:
    """L_od = MSE(S, T), L_td = MSE(S, ground truth), L_tod = L_td + MSE(S, T)."""
    recipe = make_recipe(distillation=distillation, teacher=teacher_with_token, drop_path_rate=0.0)
    model = load_teacher(recipe)
    student = build_model(recipe, model)
    objective = build_objective(recipe, student.config, training_settings(recipe, student.config), model, CPU)
    loss = objective(student, batch)

    student_maps, teacher_maps = student(batch["pixel_values"]).heatmaps, model(batch["pixel_values"]).heatmaps
    to_truth = mean_square(student_maps, *objective.targets(batch))
    to_teacher = mean_square(student_maps, teacher_maps)
    expected = {"output": to_teacher, "token": to_truth, "both": to_truth + to_teacher}[distillation]
    torch.testing.assert_close(loss.mean(), expected)


@pytest.mark.parametrize(("distillation", "has_token"), [("output", False), ("token", True), ("both", True)])
def test_the_teacher_stands_still_and_the_student_learns(
    make_recipe, teacher_with_token, read_weights, tmp_path, distillation, has_token
) -> None:
    recipe = make_recipe(distillation=distillation, teacher=teacher_with_token, learning_rate=0.01)
    before = read_weights(teacher_with_token)
    started = build_model(recipe, load_teacher(recipe)).state_dict()
    run_recipe(recipe)
    torch.testing.assert_close(read_weights(teacher_with_token), before, rtol=0, atol=0)
    weights = read_weights(recipe.run.output_dir)
    unchanged = {name for name, value in weights.items() if torch.equal(value, started[name])}
    assert unchanged == ({TOKEN} if has_token else set())
    if has_token:
        assert torch.equal(weights[TOKEN], before[TOKEN])


def test_the_students_token_is_the_teachers_and_goes_where_the_student_goes(
    make_recipe, teacher_with_token, read_weights, tmp_path
) -> None:
    student = make_recipe(distillation="token", teacher=teacher_with_token)
    run_recipe(student)
    fine_tuned = make_recipe(init_from=student.run.output_dir, output_dir=str(tmp_path / "tuned"), learning_rate=0.01)
    run_recipe(fine_tuned)
    weights, teacher = read_weights(fine_tuned.run.output_dir), read_weights(teacher_with_token)
    assert torch.equal(weights[TOKEN], teacher[TOKEN])
    projection = "backbone.embeddings.knowledge.projection.weight"
    assert weights[projection].shape == (32, 64)
    assert not torch.equal(weights[projection], read_weights(student.run.output_dir)[projection])
    assert ViTPoseForPoseEstimation.from_pretrained(fine_tuned.run.output_dir).backbone.embeddings.knowledge is not None


@pytest.mark.parametrize("decoder", ["simple", "classic"])  # the classic one has batch statistics
def test_the_token_stage_trains_the_token_alone(make_recipe, read_weights, read_log, tmp_path, decoder) -> None:
    before = save_teacher(tmp_path / "teacher", hidden_size=32, decoder=decoder)
    fields = {"task": "knowledge_token", "init_from": before, "decoder": decoder, "learning_rate": 0.1}
    recipe = make_recipe(**fields, augment=False, train_people=8, batch_size=8, epochs=8)
    run_recipe(recipe)
    weights, teacher = read_weights(recipe.run.output_dir), read_weights(before)
    assert weights.keys() - teacher.keys() == {TOKEN}
    assert weights[TOKEN].shape == (1, 1, 32)
    assert all(torch.equal(weights[name], value) for name, value in teacher.items())
    losses = [line["loss"] for line in read_log(recipe.run.output_dir) if "loss" in line]
    assert losses[-1] < losses[0]


def test_the_shipped_tiny_recipes_run_one_after_the_other(tmp_path, read_weights) -> None:
    few = [
        "--train_people",
        "4",
        "--batch_size",
        "4",
        "--eval_people",
        "2",
        "--num_workers",
        "0",
        "--warmup_steps",
        "1",
    ]
    token, student = str(tmp_path / "token"), str(tmp_path / "student")
    assert run.main(["tiny_token.yaml", *few, "--output_dir", token]) == 0
    AcceleratorState._reset_state()
    assert run.main(["tiny_distilled.yaml", *few, "--teacher", token, "--output_dir", student]) == 0
    assert torch.equal(read_weights(student)[TOKEN], read_weights(token)[TOKEN])
    config = ViTPoseForPoseEstimation.from_pretrained(student).config.backbone_config
    assert (config.num_hidden_layers, config.knowledge_token_size) == (2, 192)


def test_an_interrupted_distillation_equals_an_unbroken_one(
    make_recipe, teacher_with_token, tmp_path, assert_same_weights
) -> None:
    fields = {"distillation": "both", "teacher": teacher_with_token, "epochs": 2}
    for name in ("unbroken", "resumed"):
        run_recipe(make_recipe(**fields, output_dir=str(tmp_path / name)))
    newest = max((tmp_path / "resumed" / "checkpoints").iterdir())
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()  # as if the run had ended after its first epoch
    run_recipe(make_recipe(**fields, output_dir=str(tmp_path / "resumed"), resume=True))
    assert_same_weights(tmp_path / "unbroken", tmp_path / "resumed")


def test_a_teacher_in_half_precision_gives_nearly_the_same_loss(make_recipe, teacher, batch) -> None:
    losses = []
    for dtype in ("float32", "bfloat16"):
        recipe = make_recipe(distillation="output", teacher=teacher, teacher_dtype=dtype, drop_path_rate=0.0)
        model = load_teacher(recipe)
        assert model.dtype == getattr(torch, dtype)
        student = build_model(recipe, model)
        losses.append(
            build_objective(recipe, student.config, training_settings(recipe, student.config), model, CPU)(
                student, batch
            )
        )
    torch.testing.assert_close(losses[1], losses[0], rtol=0.02, atol=0)
    assert losses[1].dtype == torch.float32


def test_a_teacher_of_several_datasets_gives_the_recipes(make_recipe, tmp_path, batch) -> None:
    source = save_teacher(tmp_path / "plus", datasets=["mpii", "coco"], part_features=16)
    teacher = load_teacher(make_recipe(distillation="output", teacher=source))
    assert teacher.config.num_datasets == 1
    expected = ViTPoseForPoseEstimation.from_pretrained(source)(batch["pixel_values"], dataset_index=1).heatmaps
    torch.testing.assert_close(teacher(batch["pixel_values"]).heatmaps, expected[:, :17])


REFUSED: list[tuple[str, dict, dict, str]] = [
    (
        "another dataset's keypoints",
        {"datasets": ["mpii"]},
        {},
        "predicts the 16 keypoints of 'mpii', the data has the 17 of 'coco': choose a teacher trained for 'coco'",
    ),
    (
        "as many keypoints, but others",
        {"datasets": ["ap10k"]},
        {},
        "predicts the 17 keypoints of 'ap10k', the data",
    ),
    (
        "several datasets, not this one",
        {"datasets": ["mpii", "aic"], "part_features": 16},
        {},
        "knows the datasets mpii, aic, not 'coco'",
    ),
    (
        "crops of another size",
        {"image_size": (96, 64)},
        {},
        "The teacher has crops of 96x64 pixels (height x width), the student of 64x48: give both the same image_height",
    ),
    (
        "heatmaps of another size",
        {"patch_stride": 4},
        {},
        "The teacher has heatmaps of 64x48 pixels (height x width), the student of 32x24",
    ),
    (
        "no token where one is needed",
        {},
        {"distillation": "token"},
        "has no knowledge token, which distillation 'token' needs. Learn one first, with task knowledge_token",
    ),
]


@pytest.mark.parametrize(("why", "options", "changes", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_teacher_that_does_not_fit_is_refused(make_recipe, tmp_path, why, options, changes, message) -> None:
    source = save_teacher(tmp_path / "teacher", **options)
    recipe = make_recipe(**{"distillation": "both" if changes else "output", "teacher": source, **changes})
    with pytest.raises(ValueError) as error:
        build_model(recipe, load_teacher(recipe))
    assert message in str(error.value)


def test_a_teacher_with_weights_missing_is_refused(make_recipe, teacher) -> None:
    file = Path(teacher, "model.safetensors")
    weights = load_file(file)
    del weights["head.conv.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="missing or of another shape, the first is head.conv"):
        load_teacher(make_recipe(distillation="output", teacher=teacher))


def test_a_token_is_never_lost_in_silence(make_recipe, teacher_with_token, tmp_path) -> None:
    student = make_recipe(distillation="token", teacher=teacher_with_token)
    run_recipe(student)
    wider = save_teacher(tmp_path / "wider", hidden_size=96, knowledge_token_size=96)
    again = make_recipe(distillation="token", teacher=wider, init_from=student.run.output_dir)
    with pytest.raises(ValueError, match="knowledge_token_size 64 there, 96 in the recipe"):
        build_model(again, load_teacher(again))


def test_a_teacher_is_a_pose_model(make_recipe, teacher) -> None:
    with pytest.raises(ValueError, match="expected a trained pose model, the teacher, got a backbone alone"):
        build_model(make_recipe(task="knowledge_token", init_from=str(Path(teacher, "model.safetensors"))))


def test_a_token_that_is_not_there_cannot_be_trained() -> None:
    config = ViTPoseConfig.from_preset("tiny", hidden_size=32, decoder="simple", **SIZES)
    with pytest.raises(ValueError, match="There is no knowledge token to train: set the backbone's"):
        ViTPoseForPoseEstimation(config).freeze_all_but_token()


@pytest.fixture
def mixture(tmp_path, write_people) -> list[dict]:
    """COCO's 17 keypoints and LSPET's 14."""
    (tmp_path / "lspet").mkdir()
    folder = write_people(tmp_path / "lspet", schema="lspet", train=6, val=3)
    lspet = {"data": "people", "data_dir": str(folder), "schema": "lspet", "train_people": None}
    return [{"data": "synthetic", "train_people": 6, "eval_people": 3}, lspet]


@pytest.mark.parametrize("distillation", ["output", "token", "both"])
@pytest.mark.parametrize("experts", ["partially_shared", "none"])
def test_in_a_mixture_each_sample_learns_from_the_teachers_head_for_it(
    make_recipe, mixture, tmp_path, distillation, experts
) -> None:
    """The teacher has the datasets in another order, and one more."""
    heads = {"part_features": 16} if experts != "none" else {"num_experts": 1}
    source = save_teacher(tmp_path / "teacher", datasets=["lspet", "mpii", "coco"], knowledge_token_size=64, **heads)
    recipe = make_recipe(
        mixture=mixture, experts=experts, distillation=distillation, teacher=source, drop_path_rate=0.0, batch_size=12
    )
    teacher = load_teacher(recipe)
    student = build_model(recipe, teacher)
    (batch,) = build_training_loader(recipe, Accelerator(), student.config, training_settings(recipe, student.config))[
        0
    ]
    objective = build_objective(recipe, student.config, training_settings(recipe, student.config), teacher, CPU)
    losses = objective(student, batch)
    for part, (theirs, count) in enumerate(((2, 17), (0, 14))):
        own = batch["part"] == part
        assert int(own.sum()) == 6
        crops = batch["pixel_values"][own]
        teacher_maps = teacher(crops, dataset_index=theirs).heatmaps[:, :count]
        student_maps = student(crops, dataset_index=torch.full((6,), part)).heatmaps[:, :count]
        to_teacher = (student_maps - teacher_maps).square().mean(dim=(1, 2, 3))
        labels, weights = objective.targets({name: value[own] for name, value in batch.items()})
        to_truth = ((student_maps - labels[:, :count]) * weights[:, :count, None, None]).square().mean(dim=(1, 2, 3))
        expected = {"output": to_teacher, "token": to_truth, "both": to_truth + to_teacher}[distillation]
        torch.testing.assert_close(losses[own], expected)


def test_a_mixture_learns_a_token_and_hands_it_to_a_student(
    make_recipe, mixture, tmp_path, read_weights, read_log
) -> None:
    wide = {"hidden_size": 32, "datasets": ["coco", "lspet"], "part_features": 8}
    source = save_teacher(tmp_path / "teacher", **wide)
    fields = {"mixture": mixture, "eval_every": 0}
    token = make_recipe(task="knowledge_token", init_from=source, output_dir=str(tmp_path / "token"), **fields)
    run_recipe(token)
    student = make_recipe(distillation="both", teacher=token.run.output_dir, **fields)
    run_recipe(student)
    weights, learned = read_weights(student.run.output_dir), read_weights(token.run.output_dir)
    assert torch.equal(weights[TOKEN], learned[TOKEN])
    assert all(torch.equal(learned[name], value) for name, value in read_weights(source).items())
    lines = [line for line in read_log(student.run.output_dir) if "loss" in line]
    assert {"loss/synthetic", "loss/people"} <= {name for line in lines for name in line}


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        (["coco"], "knows the datasets coco, not 'lspet': choose a teacher that was trained for 'lspet' too"),
        (["mpii", "aic"], "knows the datasets mpii, aic, not 'coco', 'lspet': choose a teacher that was"),
    ],
)
@pytest.mark.parametrize("task", ["pose", "knowledge_token"])
def test_a_teacher_of_other_datasets_than_the_mixtures_is_refused(
    make_recipe, mixture, tmp_path, datasets, message, task
) -> None:
    source = save_teacher(tmp_path / "teacher", datasets=datasets, part_features=8 if len(datasets) > 1 else None)
    given = {"distillation": "output", "teacher": source} if task == "pose" else {"task": task, "init_from": source}
    recipe = make_recipe(mixture=mixture, **given)
    with pytest.raises(ValueError) as error:
        build_model(recipe, load_teacher(recipe))
    assert message in str(error.value)


def test_a_dataset_of_the_same_name_and_other_keypoints_is_refused(make_recipe, mixture, tmp_path) -> None:
    lspet = get_keypoint_schema("lspet")
    swapped = replace(lspet, keypoints=(lspet.keypoints[1], lspet.keypoints[0], *lspet.keypoints[2:]))
    source = save_teacher(tmp_path / "teacher", datasets=["coco", swapped], part_features=8)
    recipe = make_recipe(mixture=mixture, distillation="output", teacher=source)
    with pytest.raises(
        ValueError, match="14 keypoints of 'lspet', the data has the 14 of 'lspet', others or in another"
    ):
        load_teacher(recipe)
