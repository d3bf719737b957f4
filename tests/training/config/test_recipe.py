"""A recipe says what a run does: typed, checked, and no field that nobody reads."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from vitpose import get_keypoint_schema
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.fields import FieldIndex
from vitpose.training.config.parsing import RECIPES, load_recipe_file, parse_recipe
from vitpose.training.config.recipe import FIELDS, Recipe
from vitpose.training.config.rules import setting


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_no_argument_is_the_embedded_run():
    assert parse_recipe([]) == Recipe()


def test_a_field_not_named_keeps_its_default(tmp_path):
    recipe = parse_recipe([write(tmp_path / "a.yaml", "epochs: 3\n"), "--batch_size", "8"])
    assert recipe == Recipe.from_fields(epochs=3, batch_size=8)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--epochs", "5"], "epochs", 5),  # the command line beats the file
        (["--epochs=5"], "epochs", 5),
        (["--optimization.epochs", "5"], "epochs", 5),  # in its section
        (["--optimization.epochs=5"], "epochs", 5),
        (["--epochs", "5", "--optimization.epochs", "6"], "epochs", 6),
        (["--epochs", "5", "--epochs", "6"], "epochs", 6),  # and the later of two the earlier
        (["--max-grad-norm", "0.5"], "max_grad_norm", 0.5),  # dashes and underscores mean the same
        (["--augment", "true"], "augment", True),
        (["--no_flip_test"], "flip_test", False),
        (["--evaluation.no-flip-test"], "flip_test", False),
        (["--resume"], "resume", True),
        (["--decay_epochs", "2", "4"], "decay_epochs", [2, 4]),
        (["--decay_epochs", "[2, 4]"], "decay_epochs", [2, 4]),
        ([], "augment", False),  # what the file says and nobody overrides
        ([], "learning_rate", 5e-4),
    ],
)
def test_the_command_line_beats_the_file(tmp_path, arguments, field, value):
    file = write(tmp_path / "a.yaml", "epochs: 3\naugment: false\nlearning_rate: 5e-4\n")
    recipe = parse_recipe([file, *arguments])
    assert recipe.value_of(FIELDS.find(field, "The test")) == value


@pytest.mark.parametrize(("text", "value"), [("5e-4", 5e-4), ("0.0005", 5e-4), ("1", 1.0), ("1.0e-3", 1e-3)])
def test_numbers_of_a_file_become_floats(tmp_path, text, value):
    recipe = parse_recipe([write(tmp_path / "a.yaml", f"learning_rate: {text}\n")])
    assert recipe.optimization.learning_rate == value


def test_null_stands_for_none(tmp_path):
    file = write(tmp_path / "a.yaml", "data: coco\ndata_dir: coco\ntrain_people: null\ndrop_path_rate: null\n")
    recipe = parse_recipe([file])
    assert recipe.dataset.train_people is None
    assert recipe.model.drop_path_rate is None


@pytest.mark.parametrize(
    ("fields", "schema"),
    [
        ({}, "coco"),
        ({"data": "people"}, "coco"),
        ({"data": "mpii"}, "mpii"),
        ({"data": "lsp"}, "lspet"),  # whose keypoints it shares
        ({"data": "coco", "schema": "aic"}, "aic"),  # a folder in COCO's layout with other keypoints
    ],
)
def test_named_data_has_its_own_keypoints(fields, schema):
    recipe = Recipe.from_fields(**fields, **({"data_dir": "d"} if fields else {}))
    check_recipe(recipe)
    assert recipe.keypoint_schema.name == schema


@pytest.mark.parametrize("arguments", [["--train_people", "null"], ["--train_people=null"], ["--train-people", "null"]])
def test_null_on_the_command_line_stands_for_none(arguments):
    recipe = parse_recipe(["--data", "people", "--data_dir", "mine", "--eval_boxes", "null", *arguments])
    assert recipe.dataset.train_people is None and recipe.dataset.eval_boxes is None
    assert recipe.dataset.eval_people == 200


@pytest.mark.parametrize("value", ["none", "many", "1.5"])
def test_a_number_or_null_is_nothing_else(value):
    with pytest.raises(ValueError, match=f"dataset.train_people: expected int or null, got '{value}'"):
        parse_recipe(["--train_people", value])


def test_a_recipe_starts_from_its_base(tmp_path):
    (tmp_path / "nested").mkdir()
    write(tmp_path / "nested" / "root.yaml", "epochs: 3\nbatch_size: 4\nseed: 1\n")
    write(tmp_path / "middle.yaml", "base: nested/root.yaml\nbatch_size: 8\nseed: 2\n")
    fields = load_recipe_file(write(tmp_path / "leaf.yaml", "base: middle.yaml\nseed: 3\n"))
    assert fields == {"optimization.epochs": 3, "optimization.batch_size": 8, "run.seed": 3}


def test_a_recipe_may_have_the_name_of_the_shipped_one_it_builds_on(tmp_path):
    recipe = parse_recipe([write(tmp_path / "coco_small.yaml", "base: coco_small.yaml\nepochs: 3\n")])
    assert (recipe.model.preset, recipe.optimization.epochs) == ("small", 3)


def test_own_schemas_of_one_name_must_be_the_same(tmp_path):
    parts = []
    for number, names in enumerate((["nose", "tail"], ["left_ear", "right_ear"])):
        none = dict.fromkeys(("flip_pairs", "upper_body", "lower_body", "edges"), [])
        file = tmp_path / f"{number}.json"
        file.write_text(
            json.dumps({"name": "animal", "keypoints": names, "sigmas": None, "joint_weights": [1, 1], **none})
        )
        parts.append({"data": "people", "data_dir": f"d{number}", "schema": str(file)})
    with pytest.raises(ValueError, match="keypoints of different names for schemas with different keypoints"):
        check_recipe(Recipe.from_fields(mixture=parts))


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        # unknown fields, with the nearest name
        (
            "learning_rte: 0.1",
            [],
            "a.yaml, field: expected a known name, got 'learning_rte'. Did you mean 'learning_rate'?",
        ),
        ("", ["--learningrate", "0.1"], "The command line, field: expected a known name, got 'learningrate'. Did you"),
        ("", ["--epoch", "3"], "Did you mean 'epochs'?"),  # no abbreviations
        ("xyzzy: 1", [], "expected one of task, output_dir,"),
        # wrong types
        ("epochs: three", [], "optimization.epochs: expected int, got 'three'"),
        ("epochs: 2.5", [], "optimization.epochs: expected int, got 2.5"),
        ("epochs: true", [], "optimization.epochs: expected int, got True"),
        ("augment: 1", [], "augmentation.augment: expected bool, got 1"),
        ("learning_rate: fast", [], "optimization.learning_rate: expected float, got 'fast'"),
        ("decay_epochs: 170", [], "optimization.decay_epochs: expected list"),
        ("train_people: many", [], "dataset.train_people: expected int or null, got 'many'"),
        ("output_dir: 7", [], "run.output_dir: expected str, got 7"),
        ("", ["--epochs", "three"], "optimization.epochs: expected int, got 'three'"),
        ("", ["--decoder", "simpel"], "model.decoder: expected one of 'classic', 'simple', got 'simpel'"),
        ("", ["second.yaml"], "The command line: expected --field value, got 'second.yaml'"),
        ("", ["--epochs"], "The command line: optimization.epochs: expected one value, got []"),
        ("", ["--epochs", "3", "4"], "The command line: optimization.epochs: expected one value, got ['3', '4']"),
        ("epochs: null", [], "optimization.epochs: expected int, got None"),
        ("decay_epochs: [1, two]", [], "optimization.decay_epochs: expected list[int], got [1, 'two']"),
        ("optimization: {epochs: three}", [], "optimization.epochs: expected int, got 'three'"),
        # sections
        ("model: {epochs: 3}", [], "a.yaml: section model has no field 'epochs', expected optimization.epochs"),
        ("", ["--model.epochs", "3"], "The command line: section model has no field 'epochs', expected optimization"),
        ("optimisation: {epochs: 3}", [], "Did you mean 'optimization'?"),
        ("optimization: {epoch: 3}", [], "got 'optimization.epoch'. Did you mean 'optimization.epochs'?"),
        ("optimization: 3", [], "a.yaml: section optimization: expected lines 'field: value', got 3"),
        ("model:", [], "a.yaml: section model: expected lines 'field: value', got None"),
        ("epochs: 3\noptimization: {epochs: 3}", [], "a.yaml gives optimization.epochs twice"),
        ("epochs: 3\nepochs: 4", [], "'epochs' stands twice, again in line 2: expected it once"),
        ("model: {preset: tiny}\nrun: {seed: 1}\nmodel: {}", [], "'model' stands twice, again in line 3"),
        ("run:\n  seed: 1\n  seed: 2", [], "'seed' stands twice, again in line 3"),
        # closed choices
        ("decoder: simpel", [], "model.decoder: expected one of 'classic', 'simple', got 'simpel'"),
        ("data: coc", [], "dataset.data: expected one of 'synthetic', 'people', 'coco', 'coco_wholebody'"),
        (
            "preset: medium",
            [],
            "model.preset: expected one of 'tiny', 'small', 'base', 'large', 'huge', 'giant', got",
        ),
        ("schema: coko", [], "coco"),
        # out of range
        ("epochs: 0", [], "optimization.epochs: expected 1 or more, got 0"),
        ("log_every: 0", [], "run.log_every: expected 1 or more, got 0"),
        ("train_people: 0", [], "dataset.train_people: expected 1 or more, got 0"),
        ("learning_rate: 0", [], "optimization.learning_rate: expected more than 0, got 0"),
        ("learning_rate: .nan", [], "optimization.learning_rate: expected more than 0, got nan"),
        ("learning_rate: .inf", [], "optimization.learning_rate: expected more than 0, got inf"),
        ("warmup_steps: -1", [], "optimization.warmup_steps: expected 0 or more, got -1"),
        ("seed: -1", [], "run.seed: expected 0 or more, got -1"),
        ("flip_probability: 1.5", [], "augmentation.flip_probability: expected a probability from 0 to 1, got 1.5"),
        ("scale_deviation: 1.0", [], "augmentation.scale_deviation: expected 0 or more and less than 1, got 1.0"),
        ("drop_path_rate: 1.0", [], "model.drop_path_rate: expected 0 or more and less than 1, got 1.0"),
        # fields that contradict each other
        ("image_height: 256", [], "model.image_height: expected both sides or neither, image_width is None"),
        ("decay_epochs: [200, 170]", [], "optimization.decay_epochs: expected epochs in rising order"),
        ("data: coco", [], "dataset.data_dir: expected where the data is, since data is 'coco', got None"),
        ("data_dir: coco", [], "dataset.data_dir: expected null, since people are generated, got 'coco'"),
        ("schema: mpii", [], "dataset.schema: expected null or 'coco', the keypoints that generated"),
        ("train_people: null", [], "dataset.train_people: expected a number, since people are generated"),
        ("eval_boxes: det.json", [], "dataset.eval_boxes: expected null, or a named dataset as data"),
        ("data: people\ndata_dir: d\neval_boxes: det.json", [], "expected null, or a named dataset as data beside it"),
        ("data: mpii", [], "dataset.data_dir: expected where the data is, since data is 'mpii'"),
        # distillation
        (
            "distillation: output",
            [],
            "transfer.teacher: expected a folder, a Hub id or 'tiny', since distillation is",
        ),
        ("teacher: tiny", [], "transfer.teacher: expected null, got 'tiny'"),
        (
            "task: knowledge_token\ninit_from: none",
            [],
            "transfer.init_from: expected the teacher that the token is learned in, got 'none'",
        ),
        ("task: knowledge_token\nfreeze: ffn", [], "transfer.freeze: expected 'none', since all but the token is"),
        (
            "task: knowledge_token\ndistillation: output\nteacher: tiny",
            [],
            "transfer.distillation: expected 'none', since the teacher itself is trained on",
        ),
        # what belongs together
        (
            "data: coco\ndata_dir: d\neval_boxes: det.json",
            [],
            "dataset.eval_people: expected null, since with eval_boxes all of a detector's boxes are evaluated",
        ),
        (
            "mixture:\n- {data: coco, data_dir: d, train_people: 0}",
            [],
            "dataset.mixture, entry 0: dataset.train_people: expected 1 or more, got 0",
        ),
        # what the command line has for True and False is no field of a file
        ("no_flip_test: true", [], "got 'no_flip_test'. Did you mean 'flip_test'?"),
        ("1: 2", [], "expected one of task, output_dir"),
        ("num_attention_heads: 0", [], "model.num_attention_heads: expected 1 or more, got 0"),
        # bases
        ("base: 3", [], "expected base to name a recipe, got 3"),
        ("base: b.yaml", [], "its base a.yaml builds on it in turn"),
        # no recipe at all
        ("- epochs", [], "expected lines of the form 'field: value', got a list"),
        ("epochs: [", [], "is not valid YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, arguments, message):
    file = write(tmp_path / "a.yaml", text + "\n")
    write(tmp_path / "b.yaml", "base: a.yaml\n")
    with pytest.raises(ValueError) as error:
        parse_recipe([file, *arguments])
    assert message in str(error.value)


def test_a_missing_recipe_lists_those_that_ship():
    with pytest.raises(FileNotFoundError, match="No recipe nowhere.yaml.*Recipes that ship with vitpose: ") as error:
        parse_recipe(["nowhere.yaml"])
    assert all(recipe.name in str(error.value) for recipe in RECIPES.glob("*.yaml"))


def test_a_recipe_made_in_python_is_checked_too():
    with pytest.raises(ValueError, match="optimization.epochs: expected int, got 2.5"):
        Recipe.from_fields(epochs=2.5)
    with pytest.raises(ValueError, match="optimization.epochs: expected 1 or more, got 0"):
        check_recipe(Recipe.from_fields(optimization={"epochs": 0}))


def test_fields_may_stand_in_sections(tmp_path):
    file = write(tmp_path / "a.yaml", "optimization:\n  epochs: 3\n  batch_size: 8\nmodel.preset: small\nseed: 1\n")
    expected = Recipe.from_fields(epochs=3, batch_size=8, preset="small", seed=1)
    assert parse_recipe([file]) == expected
    assert Recipe().replace(optimization={"epochs": 3, "batch_size": 8}, preset="small", seed=1) == expected


@dataclass
class Camera:
    width: int = setting(640, "")
    angle: int = setting(0, "")


@dataclass
class Screen:
    width: int = setting(1920, "")


@dataclass
class Room:
    camera: Camera
    screen: Screen


def test_a_name_that_two_sections_share_needs_its_section():
    index = FieldIndex(Room)
    assert index.flatten({"angle": 3, "screen": {"width": 4}}, "The file") == {"camera.angle": 3, "screen.width": 4}
    shared = r"The file: sections share the field name 'width', expected camera.width or screen.width\."
    with pytest.raises(ValueError, match=shared):
        index.find("width", "The file")
    with pytest.raises(ValueError, match=r"section screen has no field 'angle', expected camera.angle\."):
        index.find("screen.angle", "The file")


def test_no_field_has_the_name_of_a_section():
    assert not {info.name for info in FIELDS.by_name.values()} & set(FIELDS.sections)


def test_help_lists_every_field_by_section(capsys):
    with pytest.raises(SystemExit) as end:
        parse_recipe(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"--{full}" in shown and f"--{info.name}" in shown for full, info in FIELDS.by_name.items())
    assert [shown.index(f"\n{section}:\n") for section in FIELDS.sections] == sorted(
        shown.index(f"\n{section}:\n") for section in FIELDS.sections
    )


@pytest.mark.parametrize("name", sorted(file.name for file in RECIPES.glob("*.yaml")))
def test_a_shipped_recipe_is_valid_by_its_bare_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_schema.json").write_text(json.dumps(get_keypoint_schema("lspet").to_dict()))  # what finetune.yaml names
    fields = load_recipe_file(name)
    place = ["--data_dir", "folder"] if fields.get("dataset.data", "synthetic") != "synthetic" else []
    recipe = parse_recipe([name, *place])
    read = {**recipe.values(), "dataset.data_dir": fields.get("dataset.data_dir")}
    assert {full: read[full] for full in fields} == fields
