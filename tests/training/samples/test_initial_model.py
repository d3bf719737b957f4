"""Where the weights of a run come from: names of published models as everywhere."""

from vitpose.base.published import MODELS, resolve_model
from vitpose.training.config.parsing import parse_recipe
from vitpose.training.engine.initial_weights import is_backbone_checkpoint
from vitpose.training.results.run_words import base_words
from vitpose.training.samples.settings import initial_model


def test_a_published_model_to_start_from(published) -> None:
    recipe = parse_recipe(["--init_from", "base"])
    assert initial_model(recipe) == resolve_model("base")
    assert not is_backbone_checkpoint(initial_model(recipe))
    assert base_words(recipe) == MODELS["base"].repo, "what the card of the run links to"


def test_random_weights_and_those_of_a_backbone(published, tmp_path) -> None:
    assert initial_model(parse_recipe(["--init_from", "none"])) == "none"
    (tmp_path / "config.json").write_text('{"model_type": "vitpose_mim"}')
    assert initial_model(parse_recipe(["--init_from", str(tmp_path)])) == str(tmp_path)
