"""The processor of a run or of a saved model, as settings."""

from dataclasses import replace
from pathlib import Path

from vitpose.base.published import ANY, resolve_model
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.prediction_vitpose import check_fits
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe

PROCESSOR_FILE = "preprocessor_config.json"


def initial_model(recipe: Recipe) -> str:
    """Where the recipe's `init_from` lies on this machine: a folder or a file of weights; `none` stays `none`."""
    source = recipe.transfer.init_from
    return source if source == "none" else resolve_model(source, ANY)


def saved_settings(source: str, config: ViTPoseConfig) -> ProcessorSettings:
    """The settings of the processor beside a saved model.

    Args:
        source: Folder or Hub id.
        config: The model's.

    Raises:
        ValueError: There is no processor, or it does not fit the model.
    """
    if Path(source).is_dir() and not Path(source, PROCESSOR_FILE).is_file():
        height, width = config.image_size
        raise ValueError(
            f"{source} has no {PROCESSOR_FILE}, which says how to cut crops for the model. Save the processor that it "
            f"was trained with there: ViTPoseImageProcessor(size={{'height': {height}, 'width': {width}}})"
            f".save_pretrained({source!r})."
        )
    settings = ViTPoseImageProcessor.from_pretrained(source).settings
    check_fits(settings, config, source)
    return settings


def training_settings(recipe: Recipe, config: ViTPoseConfig | ViTPoseMaskedImageModelingConfig) -> ProcessorSettings:
    """The settings of the processor that a run trains with and saves.

    They go on from those of the model that the weights come from; size, stride and padding are those of the model and
    of its first dataset.
    """
    source = initial_model(recipe)
    base = ProcessorSettings()
    if Path(source, PROCESSOR_FILE).is_file():
        base = ViTPoseImageProcessor.from_pretrained(source).settings
    chosen = replace(base, crop_size=config.image_size, padding=recipe.parts[0].box_padding)
    if isinstance(config, ViTPoseConfig):
        chosen = replace(chosen, heatmap_stride=config.image_size[0] // config.heatmap_size[0])
    sigma = recipe.evaluation.dark_sigma
    return chosen if sigma is None else replace(chosen, dark_sigma=sigma)
