"""A recipe: every choice of a training run, typed and checked once; `recipe_reading` brings it from files and commands.

The defaults are the embedded run: fine-tune the shipped tiny checkpoint on generated people, some minutes on two CPU
cores. A recipe file lists the fields that differ, and may name another one to start from: `base: lspet.yaml`.
"""

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vitpose.modeling.configuration_vitpose import PRESETS
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, read_keypoint_schema

from ..data.registry import get_known_dataset, list_known_datasets

# What the datasets of a mixture may differ in.
PART_FIELDS = (
    *("data", "data_dir", "schema", "train_split", "eval_split", "eval_boxes", "style", "data_seed"),
    *("train_people", "eval_people", "rate"),
)
DATASETS = list_known_datasets()


def _about(default: Any, text: str) -> Any:
    """A field with its explanation, which `--help` shows."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass(kw_only=True)
class Recipe:
    """One training run. Sizes are in pixels, epochs count from 0."""

    task: Literal["pose", "knowledge_token", "masked_image_modeling"] = _about(
        "pose",
        "What is learned: 'pose' from annotated keypoints, a 'knowledge_token' in the frozen init_from, or a backbone, "
        "from pictures alone, by 'masked_image_modeling'.",
    )

    # The model
    preset: str = _about("tiny", "Size of the backbone: tiny, small, base, large, huge, giant.")
    decoder: Literal["classic", "simple"] = _about("simple", "Head of the model.")
    num_hidden_layers: int | None = _about(None, "Blocks of the backbone; the preset's if not given.")
    num_attention_heads: int | None = _about(None, "Heads of each attention; the preset's if not given.")
    image_height: int | None = _about(None, "Height of a crop; the preset's if not given.")
    image_width: int | None = _about(None, "Width of a crop; the preset's if not given.")
    patch_stride: int | None = _about(None, "Pixels from patch to patch; the patch size, usually 16, if not given.")
    attention_kind: Literal["full", "window", "shifted_window", "pooled_window", "shifted_pooled_window"] = _about(
        "full", "What a token attends to (ViTPose paper, section 3.3)."
    )
    window_size: int | None = _about(None, "Tokens on a side of a window; 8 if not given.")
    drop_path_rate: float | None = _about(None, "Stochastic depth of the last block; the preset's if not given.")
    init_from: str = _about(
        "tiny",
        "Where weights come from: 'tiny' (the checkpoint inside the package), 'none' (random), a folder or Hub id of a "
        "pose model, the folder of a masked-image pre-training, or a DINOv2 or MAE checkpoint file for the backbone.",
    )

    # The data
    data: str = _about(
        "synthetic",
        "'synthetic': generated people. 'people': Parquet files, a saved dataset or a Hub id with columns image, bbox, "
        "keypoints. Or the name of a dataset that lies on disk as its download makes it: " + ", ".join(DATASETS) + ".",
    )
    data_dir: str | None = _about(None, "Folder or Hub id of the data; not for generated people.")
    mixture: list[dict] = _about(
        [],
        "Several datasets at once, in a recipe file: a list of the fields of this block in which they differ, and "
        "`rate`, how often an epoch draws each person (1 if not given).",
    )
    experts: Literal["partially_shared", "independent", "independent_and_shared", "none"] = _about(
        "partially_shared",
        "What each block holds for each dataset of a mixture (ViTPose++ paper); 'none': heads alone.",
    )
    schema: str | None = _about(
        None,
        "Name of the keypoint schema, or a JSON file with one's own; if not given the named dataset's, COCO's for "
        "other data.",
    )
    train_split: str = _about("train", "Split to train on.")
    eval_split: str = _about("val", "Split to evaluate on.")
    eval_boxes: str | None = _about(
        None,
        "Detector boxes: a COCO results JSON, or 'published' for the one of the field beside a named dataset; the "
        "annotated boxes if not given.",
    )
    style: Literal["studio", "street"] = _about("studio", "Style of generated people.")
    data_seed: int = _about(1, "Seed of generated people to train on; evaluation uses people no training seed draws.")
    train_people: int | None = _about(3600, "How many people an epoch sees; all if null. Generated: how many exist.")
    eval_people: int | None = _about(200, "How many people are evaluated; all if null. Generated: how many exist.")

    crops: Literal["people", "images"] = _about(
        "people", "What masked-image pre-training sees: the boxes of people, or whole images."
    )

    # Augmentation, in the order of the released configs; the default run changes little, coco.yaml has their figures
    augment: bool = _about(True, "Whether to augment at all.")
    flip_probability: float = _about(0.5, "Probability of mirroring a person.")
    half_body_probability: float = _about(0.0, "Probability of cutting to the upper or lower body.")
    scale_deviation: float = _about(
        0.15, "Standard deviation of the box scale around 1, clipped to 1 plus or minus it."
    )
    rotation_deviation: float = _about(10.0, "Standard deviation of the rotation in degrees, clipped to twice it.")

    # Targets and loss
    target_sigma: float = _about(2.0, "Radius of the target Gaussians in heatmap pixels.")
    use_joint_weights: bool = _about(False, "Whether the schema's joint weights enter the loss.")

    # Distillation (ViTPose paper, section 3.4)
    distillation: Literal["none", "output", "token", "both"] = _about(
        "none", "What a teacher gives: its heatmaps as targets ('output'), its knowledge token, both, or nothing."
    )
    teacher: str | None = _about(
        None,
        "Folder or Hub id of the teacher, or 'tiny'; for its token the output of a run with task 'knowledge_token'.",
    )
    teacher_dtype: Literal["float32", "bfloat16"] = _about("float32", "Precision of the teacher.")

    # Optimisation (ViTPose paper, tables 1 and 6)
    freeze: Literal["none", "attention", "ffn"] = _about("none", "Part of the backbone that stays as it is.")
    epochs: int = _about(1, "How often the training data is seen.")
    batch_size: int = _about(16, "People a step and process.")
    gradient_accumulation_steps: int = _about(1, "Batches whose gradients make one step.")
    learning_rate: float = _about(3e-4, "Peak learning rate.")
    adam_beta2: float = _about(0.999, "How slowly AdamW's mean of squared gradients moves; MAE has 0.95.")
    weight_decay: float = _about(0.05, "Weight decay of matrices; vectors and position tables have none.")
    layer_decay: float = _about(1.0, "Learning rate of a layer over that of the next: 1 is the same for all.")
    warmup_steps: int = _about(20, "Steps over which the learning rate grows from a thousandth to its peak.")
    schedule: Literal["step", "cosine"] = _about("cosine", "How the learning rate falls after the warm-up.")
    decay_epochs: list[int] = _about([170, 200], "With 'step': epochs at which the learning rate falls to a tenth.")
    max_grad_norm: float = _about(1.0, "Gradients are scaled down to this L2 norm; 0 leaves them as they are.")
    ema_decay: float = _about(
        0.0,
        "Evaluate and save an exponential moving average of the weights: 0.999 averages over some 1,000 steps, 0 has "
        "the last weights.",
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = _about("no", "Precision of matrix products in training.")
    torch_compile: bool = _about(False, "Compile each block: training starts some minutes later and is faster on GPUs.")
    gradient_checkpointing: bool = _about(False, "Recompute activations in the backward pass to save memory.")

    # Evaluation
    eval_every: int = _about(1, "Epochs between evaluations; the last epoch is always evaluated. 0: only the last.")
    eval_batch_size: int = _about(32, "People a batch and process in evaluation.")
    flip_test: bool = _about(True, "Average heatmaps with those of the mirrored crop.")
    dark_sigma: float = _about(0.8, "Blur before sub-pixel decoding, heatmap pixels: 0.8 stock, 2.0 released configs.")

    # The run
    output_dir: str = _about("runs/default", "Folder of the run: checkpoints, log and, at its top, the final model.")
    seed: int = _about(0, "Seed of weights, order, augmentation and drop path.")
    num_workers: int = _about(2, "Data-loader processes.")
    checkpoint_every: int = _about(0, "Steps between checkpoints; 0: at the end of each epoch.")
    keep_checkpoints: int = _about(2, "How many checkpoints stay on disk.")
    keep_best: bool = _about(
        True,
        "Keep the model of the best evaluation in output_dir/best, by the data's main figure, of a mixture their mean; "
        "not in pre-training.",
    )
    resume: bool = _about(False, "Go on from the newest checkpoint in output_dir.")
    log_every: int = _about(10, "Steps between lines of the log.")
    profile: bool = _about(
        False, "Measure where the time of a few steps goes, write trace.json into output_dir, and end."
    )
    report_to: str | None = _about(None, "Tracker of Accelerate: tensorboard, wandb, trackio, ... ; none if null.")

    @property
    def keypoint_schema(self) -> KeypointSchema:
        """The schema that `schema` names, or that the data has by itself."""
        own = get_known_dataset(self.data).schema if self.data in DATASETS else "coco"
        schema = self.schema or own
        return read_keypoint_schema(schema) if schema.endswith(".json") else get_keypoint_schema(schema)

    @property
    def box_padding(self) -> float:
        """Factor on a box's sides that the data is cropped with: a named dataset's own, else that of COCO."""
        return get_known_dataset(self.data if self.data in DATASETS else "coco").padding

    @property
    def parts(self) -> list["Recipe"]:
        """A recipe for each dataset of the mixture; without one, this recipe alone."""
        fields = [{name: value for name, value in part.items() if name != "rate"} for part in self.mixture]
        return [dataclasses.replace(self, mixture=[], **part) for part in fields] or [self]

    @property
    def part_names(self) -> list[str]:
        """What each part is called in figures and files: its data, numbered where that is not enough."""
        names = [part.data for part in self.parts]
        return [
            name if names.count(name) == 1 else f"{name}_{names[: place + 1].count(name)}"
            for place, name in enumerate(names)
        ]

    @property
    def rates(self) -> list[float]:
        """How often an epoch draws each person of each part."""
        return [float(part.get("rate", 1.0)) for part in self.mixture] or [1.0]

    @property
    def keypoint_schemas(self) -> list[KeypointSchema]:
        """One for each head of the model; parts whose keypoints have the same name share a head."""
        return list({part.keypoint_schema.name: part.keypoint_schema for part in self.parts}.values())

    def validate(self) -> None:
        """Raise a `ValueError` for a value of a wrong type or out of range, or a contradiction between fields."""
        check_types(vars(self))
        _require(self, "preset", self.preset in PRESETS, f"one of {', '.join(PRESETS)}")
        _check_ranges(self)
        sides_agree = (self.image_height is None) == (self.image_width is None)
        _require(self, "image_height", sides_agree, f"both sides or neither, image_width is {self.image_width}")
        windowed = self.attention_kind != "full"
        _require(self, "window_size", windowed or self.window_size is None, "none, since attention_kind is 'full'")
        _require(self, "decay_epochs", self.decay_epochs == sorted(self.decay_epochs), "epochs in rising order")
        self._check_task()
        if self.mixture:
            self._check_mixture()
        else:
            self._check_data()

    def _check_mixture(self) -> None:
        for number, part in enumerate(self.mixture):
            reject_unknown(part, f"Recipe field mixture, entry {number},", known=PART_FIELDS)
            rate = part.get("rate", 1.0)
            if type(rate) not in (int, float) or not 0 < rate < float("inf"):
                raise ValueError(f"Recipe field mixture, entry {number}: expected a rate above 0, got {rate!r}.")
        for number, recipe in enumerate(self.parts):
            try:
                check_types(vars(recipe))
                _check_ranges(recipe)
                recipe._check_data()
            except ValueError as error:
                raise ValueError(f"Recipe field mixture, entry {number}: {error}") from error
        names = [part.data if part.data_dir is None else f"{part.data} of {part.data_dir}" for part in self.parts]
        _require(self, "mixture", len(set(names)) == len(names), "each dataset once")
        heads = {schema.name: schema.keypoints for schema in self.keypoint_schemas}
        same = all(heads[part.keypoint_schema.name] == part.keypoint_schema.keypoints for part in self.parts)
        _require(self, "mixture", same, "keypoints of different names for schemas with different keypoints")

    def _check_data(self) -> None:
        choices = ("synthetic", "people", *DATASETS)
        _require(self, "data", self.data in choices, f"one of {', '.join(map(repr, choices))}")
        _ = self.keypoint_schema
        named = self.data in DATASETS
        _require(self, "eval_boxes", self.eval_boxes is None or named, "none, or a named dataset as data beside it")
        every = self.eval_boxes is None or self.eval_people is None
        _require(self, "eval_people", every, "null, since with eval_boxes all of a detector's boxes are evaluated")
        if self.data == "synthetic":
            own = self.schema in (None, "coco")
            _require(self, "schema", own, "none or 'coco', the keypoints that generated people have")
            _require(self, "data_dir", self.data_dir is None, "none, since people are generated")
            for name in ("train_people", "eval_people"):
                _require(self, name, getattr(self, name) is not None, "a number, since people are generated")
        else:
            _require(self, "data_dir", self.data_dir is not None, f"where the data is, since data is {self.data!r}")

    def _check_task(self) -> None:
        distils = self.distillation != "none"
        expected = f"a folder, a Hub id or 'tiny', since distillation is {self.distillation!r}" if distils else "none"
        _require(self, "teacher", (self.teacher is not None) == distils, expected)
        if self.task == "knowledge_token":
            _require(self, "init_from", self.init_from != "none", "the teacher that the token is learned in")
            _require(self, "freeze", self.freeze == "none", "'none', since all but the token is frozen")
            _require(self, "distillation", not distils, "'none', since the teacher itself is trained on")
        if self.task == "masked_image_modeling":
            _require(self, "init_from", self.init_from == "none", "'none', as pre-training starts from random weights")
            for name in _OF_KEYPOINTS:
                default = getattr(Recipe, name)
                _require(self, name, getattr(self, name) == default, f"{default!r}, as no keypoint is learned")
        else:
            _require(self, "crops", self.crops == "people", "'people', as images are for masked_image_modeling alone")


# Fields that say how keypoints are learned and measured.
_OF_KEYPOINTS = (
    *("decoder", "eval_boxes", "half_body_probability", "scale_deviation", "rotation_deviation", "target_sigma"),
    *("use_joint_weights", "distillation", "freeze", "layer_decay", "flip_test", "dark_sigma", "experts"),
)


def _require(recipe: Recipe, name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"Recipe field {name}: expected {expected}, got {getattr(recipe, name)!r}.")


def check_types(fields: dict[str, Any]) -> None:
    kinds = get_type_hints(Recipe)
    for name, value in fields.items():
        if not _is_a(value, kinds[name]):
            raise ValueError(f"Recipe field {name}: expected {_kind_words(kinds[name])}, got {value!r}.")


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value has the type of a field; True and False are no numbers."""
    if get_origin(kind) is UnionType:
        return any(_is_a(value, option) for option in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_a(item, get_args(kind)[0]) for item in value)
    return type(value) is kind or (kind is float and type(value) is int)


def _kind_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    return getattr(kind, "__name__", str(kind)) if get_origin(kind) is None else str(kind)


def _check_ranges(recipe: Recipe) -> None:
    one_or_more = ("epochs", "batch_size", "eval_batch_size", "gradient_accumulation_steps", "keep_checkpoints")
    sizes = ("num_hidden_layers", "num_attention_heads", "image_height", "image_width", "patch_stride", "window_size")
    for name in (*one_or_more, *sizes, "log_every", "train_people", "eval_people"):
        value = getattr(recipe, name)
        _require(recipe, name, value is None or value >= 1, "1 or more")
    for name in ("learning_rate", "layer_decay", "target_sigma", "dark_sigma"):
        _require(recipe, name, 0 < getattr(recipe, name) < float("inf"), "more than 0")
    zero_or_more = ("warmup_steps", "num_workers", "checkpoint_every", "eval_every", "seed", "data_seed")
    for name in (*zero_or_more, "max_grad_norm", "weight_decay", "rotation_deviation"):
        _require(recipe, name, 0 <= getattr(recipe, name) < float("inf"), "0 or more")
    for name in ("flip_probability", "half_body_probability"):
        _require(recipe, name, 0 <= getattr(recipe, name) <= 1, "a probability from 0 to 1")
    for name in ("adam_beta2", "ema_decay", "scale_deviation"):
        _require(recipe, name, 0 <= getattr(recipe, name) < 1, "0 or more and less than 1")
    drop_path_rate = recipe.drop_path_rate
    _require(recipe, "drop_path_rate", drop_path_rate is None or 0 <= drop_path_rate < 1, "a rate from 0 to below 1")


def reject_unknown(names: Any, owner: str, known: Sequence[str] | None = None) -> None:
    known = known or [item.name for item in dataclasses.fields(Recipe)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Fields: {', '.join(known)}."
            raise ValueError(f"{owner} has an unknown field {name!r}.{hint}")
