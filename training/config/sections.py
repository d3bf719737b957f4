"""The sections of a recipe: every choice of a training run, with its default, its explanation and its rules.

The defaults are the embedded run: fine-tune the bundled tiny checkpoint on generated people, some minutes on two CPU
cores. Sizes are in pixels, epochs count from 0.
"""

from dataclasses import dataclass
from typing import Any, Literal

from vitpose.modeling.configuration_vitpose import Preset

from ..data.loading import list_readable
from ..data.tools.forms import list_annotation_forms
from .rules import BELOW_ONE, ONE_OR_MORE, POSITIVE, PROBABILITY, ZERO_OR_MORE, setting

DATASETS = list_readable()
TOOLS = list_annotation_forms()


@dataclass(frozen=True, kw_only=True)
class RunSection:
    """The run: its task, folder, seed, log and checkpoints."""

    task: Literal["pose", "knowledge_token", "masked_image_modeling"] = setting(
        "pose",
        "Training objective: 'pose' from annotated keypoints, a 'knowledge_token' in the frozen init_from, or "
        "'masked_image_modeling' to pre-train a backbone on images alone.",
    )
    output_dir: str = setting(
        "runs/default", "Folder of the run: checkpoints, log and, at its top, the final model.", resumable=True
    )
    seed: int = setting(0, "Seed of weights, order, augmentation and drop path.", ZERO_OR_MORE)
    num_workers: int = setting(2, "Data-loader processes.", ZERO_OR_MORE, resumable=True)
    checkpoint_every: int = setting(
        0, "Steps between checkpoints; 0: at the end of each epoch.", ZERO_OR_MORE, resumable=True
    )
    keep_checkpoints: int = setting(2, "Number of checkpoints that stay on disk.", ONE_OR_MORE, resumable=True)
    keep_best: bool = setting(
        True,
        "Keep the model of the best evaluation in output_dir/best, by the data's primary metric, of a mixture their "
        "mean; not in pre-training.",
        resumable=True,
    )
    resume: bool = setting(False, "Go on from the newest checkpoint in output_dir.", resumable=True)
    log_every: int = setting(10, "Steps between lines of the log.", ONE_OR_MORE, resumable=True)
    profile: bool = setting(False, "Profile a few steps, write output_dir/trace.json, and end.")
    report_to: str | None = setting(
        None, "Tracker of Accelerate: tensorboard, wandb, trackio, ... ; none if null.", resumable=True
    )


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The model: its backbone, decoder and experts."""

    preset: Preset = setting("tiny", "Size of the backbone.")
    decoder: Literal["classic", "simple"] = setting("simple", "Head of the model.", pose_only=True)
    num_hidden_layers: int | None = setting(None, "Blocks of the backbone; null: the preset's.", ONE_OR_MORE)
    num_attention_heads: int | None = setting(None, "Heads of each attention; null: the preset's.", ONE_OR_MORE)
    image_height: int | None = setting(None, "Height of a crop; null: the preset's.", ONE_OR_MORE)
    image_width: int | None = setting(None, "Width of a crop; null: the preset's.", ONE_OR_MORE)
    patch_stride: int | None = setting(
        None, "Pixels from patch to patch; null: the patch size, usually 16.", ONE_OR_MORE
    )
    attention_kind: Literal["full", "window", "shifted_window", "pooled_window", "shifted_pooled_window"] = setting(
        "full", "Attention pattern of the blocks (ViTPose paper, section 3.3)."
    )
    window_size: int | None = setting(None, "Tokens on a side of a window; null: 8.", ONE_OR_MORE)
    drop_path_rate: float | None = setting(None, "Stochastic depth of the last block; null: the preset's.", BELOW_ONE)
    experts: Literal["partially_shared", "independent", "independent_and_shared", "none"] = setting(
        "partially_shared",
        "Experts in each block for the datasets of a mixture (ViTPose++ paper); 'none': separate heads only.",
        pose_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class TransferSection:
    """Initial weights, frozen parts and the teacher of a distillation (ViTPose paper, section 3.4)."""

    init_from: str = setting(
        "tiny",
        "Initial weights: 'tiny' (the checkpoint inside the package), 'none' (random), 'small', 'base', 'large' or "
        "'huge' (published, fetched once), a folder or Hub id of a pose model, the folder of a masked-image "
        "pre-training, or a DINOv2 or MAE checkpoint file for the backbone.",
        resumable=True,
    )
    freeze: Literal["none", "attention", "ffn"] = setting("none", "Part of the backbone to freeze.", pose_only=True)
    distillation: Literal["none", "output", "token", "both"] = setting(
        "none",
        "Knowledge taken from the teacher: its heatmaps as targets ('output'), its knowledge token, both, or none.",
        pose_only=True,
    )
    teacher: str | None = setting(
        None,
        "Folder, Hub id or short name of the teacher; for its token the output of a run with task 'knowledge_token'.",
    )
    teacher_dtype: Literal["float32", "bfloat16"] = setting("float32", "Precision of the teacher.")


@dataclass(frozen=True, kw_only=True)
class DatasetSection:
    """The data to train and evaluate on. A mixture lists the fields in which its datasets differ."""

    data: str = setting(
        "synthetic",
        "'synthetic': generated people. 'people': Parquet files, a saved dataset or a Hub id with columns image, bbox, "
        "keypoints. Or the name of a dataset that lies on disk as its download makes it, or of the tool that annotated "
        "it: " + ", ".join(DATASETS) + ".",
        per_dataset=True,
    )
    data_dir: str | None = setting(None, "Folder or Hub id of the data; not for generated people.", per_dataset=True)
    schema: str | None = setting(
        None,
        "Name of the keypoint schema, or a JSON file with one's own; null: the named dataset's, or what a tool's files "
        "have; COCO's for other data.",
        per_dataset=True,
    )
    train_split: str = setting("train", "Split to train on.", per_dataset=True)
    eval_split: str = setting("val", "Split to evaluate on.", resumable=True, per_dataset=True)
    eval_boxes: str | None = setting(
        None,
        "Detector boxes: a COCO results JSON, or 'published' for the one of the field beside a named dataset; null: "
        "the annotated boxes.",
        resumable=True,
        pose_only=True,
        per_dataset=True,
    )
    train_people: int | None = setting(
        3600, "People in an epoch; null: all. Generated: how many exist.", ONE_OR_MORE, per_dataset=True
    )
    eval_people: int | None = setting(
        200,
        "People to evaluate; null: all. Generated: how many exist.",
        ONE_OR_MORE,
        resumable=True,
        per_dataset=True,
    )
    style: Literal["studio", "street"] = setting("studio", "Style of generated people.", per_dataset=True)
    data_seed: int = setting(
        1,
        "Seed of generated people to train on; evaluation uses people that no training seed draws.",
        ZERO_OR_MORE,
        per_dataset=True,
    )
    crops: Literal["people", "images"] = setting(
        "people", "Crops of masked-image pre-training: the boxes of people, or whole images."
    )
    mixture: list[dict[str, Any]] = setting(
        [],
        "Several datasets at once, in a recipe file: a list of the fields of this section in which they differ, and "
        "`rate`, how often an epoch draws each person (1 if not given).",
    )


@dataclass(frozen=True, kw_only=True)
class AugmentationSection:
    """Augmentation, in the order of the released configs; the defaults change little, coco.yaml has their values."""

    augment: bool = setting(True, "Augment at all.")
    flip_probability: float = setting(0.5, "Probability of mirroring a person.", PROBABILITY)
    half_body_probability: float = setting(
        0.0, "Probability of cropping to the upper or lower body.", PROBABILITY, pose_only=True
    )
    scale_deviation: float = setting(
        0.15, "Standard deviation of the box scale around 1, clipped to 1 plus or minus it.", BELOW_ONE, pose_only=True
    )
    rotation_deviation: float = setting(
        10.0, "Standard deviation of the rotation in degrees, clipped to twice it.", ZERO_OR_MORE, pose_only=True
    )


@dataclass(frozen=True, kw_only=True)
class TargetsSection:
    """Targets and loss."""

    target_sigma: float = setting(2.0, "Sigma of the target Gaussians, heatmap pixels.", POSITIVE, pose_only=True)
    use_joint_weights: bool = setting(False, "Weight the loss by the schema's joint weights.", pose_only=True)


@dataclass(frozen=True, kw_only=True)
class OptimizationSection:
    """Optimization (ViTPose paper, tables 1 and 6)."""

    epochs: int = setting(1, "Passes over the training data.", ONE_OR_MORE)
    batch_size: int = setting(16, "People in a batch of one process.", ONE_OR_MORE)
    gradient_accumulation_steps: int = setting(1, "Batches whose gradients make one step.", ONE_OR_MORE)
    learning_rate: float = setting(3e-4, "Peak learning rate.", POSITIVE)
    adam_beta2: float = setting(0.999, "AdamW beta2; 0.95 in MAE.", BELOW_ONE)
    weight_decay: float = setting(
        0.05, "Weight decay of matrices; vectors and position tables have none.", ZERO_OR_MORE
    )
    layer_decay: float = setting(
        1.0,
        "Learning rate of a layer over that of the next: 1 is the same for all.",
        POSITIVE,
        pose_only=True,
    )
    warmup_steps: int = setting(
        20, "Steps over which the learning rate grows from a thousandth to its peak.", ZERO_OR_MORE
    )
    schedule: Literal["step", "cosine"] = setting("cosine", "Decay of the learning rate after the warm-up.")
    decay_epochs: list[int] = setting([170, 200], "With 'step': epochs at which the learning rate falls to a tenth.")
    max_grad_norm: float = setting(
        1.0, "Gradients are scaled down to this L2 norm; 0 leaves them as they are.", ZERO_OR_MORE
    )
    ema_decay: float = setting(
        0.0,
        "Evaluate and save an exponential moving average of the weights: 0.999 averages over some 1,000 steps, 0 keeps "
        "the last weights.",
        BELOW_ONE,
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = setting("no", "Precision of matrix products in training.")
    torch_compile: bool = setting(
        False, "Compile each block: training starts some minutes later and is faster on GPUs."
    )
    gradient_checkpointing: bool = setting(False, "Recompute activations in the backward pass to save memory.")


@dataclass(frozen=True, kw_only=True)
class EvaluationSection:
    """Evaluation."""

    eval_every: int = setting(
        1,
        "Epochs between evaluations; the model that training starts from and the last epoch are always evaluated. 0: "
        "only the last epoch.",
        ZERO_OR_MORE,
        resumable=True,
    )
    patience: int | None = setting(
        None,
        "Stop after so many evaluations in a row without a better one, by the data's primary metric, of a mixture "
        "their mean, in pre-training by the loss; null: train all epochs. The learning rate falls as for all epochs.",
        ONE_OR_MORE,
        resumable=True,
    )
    eval_batch_size: int = setting(32, "People in a batch of one process, in evaluation.", ONE_OR_MORE, resumable=True)
    flip_test: bool = setting(True, "Average heatmaps with those of the mirrored crop.", resumable=True, pose_only=True)
    dark_sigma: float | None = setting(
        None,
        "Blur before sub-pixel decoding, heatmap pixels: 0.8 stock, 2.0 released configs; null: the model's own, 0.8 "
        "of a new one.",
        POSITIVE,
        resumable=True,
        pose_only=True,
    )
