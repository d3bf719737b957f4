"""Checks of a whole recipe: ranges, and fields that contradict each other."""

from .recipe import FIELDS, Recipe
from .sections import DATASETS


def check_recipe(recipe: Recipe) -> None:
    """Raise a `ValueError` for a value out of range or a contradiction between fields."""
    _check_ranges(recipe)
    model = recipe.model
    sides_agree = (model.image_height is None) == (model.image_width is None)
    _require(recipe, "image_height", sides_agree, f"both sides or neither, image_width is {model.image_width}")
    windowed = model.attention_kind != "full"
    _require(recipe, "window_size", windowed or model.window_size is None, "null, since attention_kind is 'full'")
    boundaries = recipe.optimization.decay_epochs
    _require(recipe, "decay_epochs", boundaries == sorted(boundaries), "epochs in rising order")
    every = recipe.evaluation.eval_every > 0
    _require(recipe, "patience", every or recipe.evaluation.patience is None, "null, since eval_every is 0")
    _check_task(recipe)
    if recipe.dataset.mixture:
        _check_mixture(recipe)
    else:
        _check_data(recipe)


def _require(recipe: Recipe, name: str, holds: bool, expected: str) -> None:
    if not holds:
        info = FIELDS.find(name, "The recipe")
        raise ValueError(f"{info.full_name}: expected {expected}, got {recipe.value_of(info)!r}.")


def _check_ranges(recipe: Recipe) -> None:
    for full, value in recipe.values().items():
        allowed = FIELDS.by_name[full].rules.range
        if allowed is not None and value is not None:
            _require(recipe, full, allowed.holds(value), allowed.words)


def _check_task(recipe: Recipe) -> None:
    task, transfer = recipe.run.task, recipe.transfer
    distils = transfer.distillation != "none"
    expected = f"a folder, a Hub id or 'tiny', since distillation is {transfer.distillation!r}" if distils else "null"
    _require(recipe, "teacher", (transfer.teacher is not None) == distils, expected)
    if task == "knowledge_token":
        _require(recipe, "init_from", transfer.init_from != "none", "the teacher that the token is learned in")
        _require(recipe, "freeze", transfer.freeze == "none", "'none', since all but the token is frozen")
        _require(recipe, "distillation", not distils, "'none', since the teacher itself is trained on")
    if task == "masked_image_modeling":
        random = transfer.init_from == "none"
        _require(recipe, "init_from", random, "'none', as pre-training starts from random weights")
        _check_no_pose_fields(recipe)
    else:
        people = recipe.dataset.crops == "people"
        _require(recipe, "crops", people, "'people', as images are for masked_image_modeling alone")


def _check_no_pose_fields(recipe: Recipe) -> None:
    for full, info in FIELDS.by_name.items():
        if info.rules.pose_only:
            unused = recipe.value_of(info) == info.default
            _require(recipe, full, unused, f"{info.default!r}, as no keypoint is learned")


def _check_data(recipe: Recipe) -> None:
    dataset = recipe.dataset
    choices = ("synthetic", "people", *DATASETS)
    _require(recipe, "data", dataset.data in choices, f"one of {', '.join(map(repr, choices))}")
    _ = recipe.keypoint_schema
    named = dataset.data in DATASETS
    _require(recipe, "eval_boxes", dataset.eval_boxes is None or named, "null, or a named dataset as data beside it")
    every = dataset.eval_boxes is None or dataset.eval_people is None
    _require(recipe, "eval_people", every, "null, since with eval_boxes all of a detector's boxes are evaluated")
    if dataset.data == "synthetic":
        _check_synthetic(recipe)
    else:
        _require(recipe, "data_dir", dataset.data_dir is not None, f"where the data is, since data is {dataset.data!r}")


def _check_synthetic(recipe: Recipe) -> None:
    dataset = recipe.dataset
    own = dataset.schema in (None, "coco")
    _require(recipe, "schema", own, "null or 'coco', the keypoints that generated people have")
    _require(recipe, "data_dir", dataset.data_dir is None, "null, since people are generated")
    for name in ("train_people", "eval_people"):
        _require(recipe, name, getattr(dataset, name) is not None, "a number, since people are generated")


def _check_mixture(recipe: Recipe) -> None:
    for number, rate in enumerate(entry.get("rate", 1.0) for entry in recipe.dataset.mixture):
        if type(rate) not in (int, float) or not 0 < rate < float("inf"):
            raise ValueError(f"dataset.mixture, entry {number}: expected a rate above 0, got {rate!r}.")
    for number, part in enumerate(recipe.parts):
        try:
            _check_ranges(part)
            _check_data(part)
        except ValueError as error:
            raise ValueError(f"dataset.mixture, entry {number}: {error}") from error
    places = [(part.dataset.data, part.dataset.data_dir) for part in recipe.parts]
    _require(recipe, "mixture", len(set(places)) == len(places), "each dataset once")
    heads = {schema.name: schema.keypoints for schema in recipe.keypoint_schemas}
    same = all(heads[part.keypoint_schema.name] == part.keypoint_schema.keypoints for part in recipe.parts)
    _require(recipe, "mixture", same, "keypoints of different names for schemas with different keypoints")
