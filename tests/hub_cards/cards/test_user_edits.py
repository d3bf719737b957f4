"""What people write into a card stays when the card is written again; what nobody touched is written anew."""

import pytest

from vitpose import ViTPoseConfig, write_model_card
from vitpose.hub_cards.cards.user_edits import CardParts, keep_user_edits, split_sections

GENERATED = """---
license: mit
tags:
- a
---

# Title

Words.

## Use

```bash
## no heading
```

## Results

AP 0.5
"""


def sealed(text: str) -> str:
    return CardParts.parse(text).seal().render()


OLD, NEW = sealed(GENERATED), sealed(GENERATED.replace("0.5", "0.7").replace("Words", "New words"))
EDITS = [
    ("an untouched card is written anew", "", "", [], "New words.\n\n## Use", "0.5"),
    ("an edited section stays", "AP 0.5", "AP 0.5 on my photos", ["section Results"], "AP 0.5 on my photos", "0.7"),
    ("the introduction counts as one", "Words.", "My words.", ["section (introduction)"], "My words.", "New words"),
    (
        "an added section stays in its place",
        "## Results",
        "## Licence of the photos\n\nMine.\n\n## Results",
        ["section Licence of the photos"],
        "```\n\n## Licence of the photos\n\nMine.\n\n## Results\n\nAP 0.7",
        "0.5",
    ),
    ("an edited entry stays", "license: mit", "license: other", ["metadata license"], "license: other", "mit"),
    (
        "an added entry stays",
        "license: mit",
        "license: mit\nlanguage: en",
        ["metadata language"],
        "language: en",
        "0.5",
    ),
]


@pytest.mark.parametrize(("why", "old", "by_hand", "kept", "there", "gone"), EDITS, ids=[row[0] for row in EDITS])
def test_edits_stay(why, old, by_hand, kept, there, gone):
    text, parts = keep_user_edits(NEW, OLD.replace(old, by_hand))
    assert parts == kept
    assert there in text and gone not in text
    assert keep_user_edits(sealed(GENERATED), text)[1] == kept, "and the next time as well"


def test_figures_in_the_metadata_are_always_those_of_the_new_weights():
    def with_figure(text, value):
        metrics = f"metrics: [{{type: ap, value: {value}}}]"
        results = f"[{{task: {{type: t}}, dataset: {{name: d, type: d}}, {metrics}}}]"
        return text.replace("license: mit", f"license: mit\nmodel-index: [{{name: m, results: {results}}}]")

    old = with_figure(sealed(GENERATED), 0.9)
    new = sealed(with_figure(GENERATED, 0.7))
    text, kept = keep_user_edits(new, old)
    assert kept == [] and "value: 0.7" in text and "0.9" not in text


def test_a_card_of_somebody_s_own_is_left_alone():
    assert keep_user_edits(GENERATED, OLD.replace("AP 0.5", "by hand")) == (GENERATED, [])


def test_an_edit_of_the_new_card_goes_before_one_of_the_old():
    text, kept = keep_user_edits(NEW.replace("AP 0.7", "newest"), OLD.replace("AP 0.5", "older"))
    assert "newest" in text and "older" not in text and kept == []


def test_a_foreign_card_is_kept_and_completed():
    text, kept = keep_user_edits(NEW, "---\nlicense: cc0-1.0\n---\n\n# My own title\n\n## Notes\n\nLook.\n")
    assert kept == ["metadata license", "section (introduction)", "section Notes"]
    assert "license: cc0-1.0" in text and "# My own title" in text and "## Use" in text and "Look." in text


def test_the_form_of_transformers_is_nobody_s_writing():
    words = "This model card has been automatically generated."
    form = f"---\nlibrary_name: x\n---\n\n# Model Card\n\n{words}\n\n## Uses\n\n[More]\n"
    assert keep_user_edits(NEW, form) == (NEW, [])


def test_headings_in_code_are_none_and_repeated_ones_stay_apart():
    body = "intro\n\n## A\n\n```\n## not one\n```\n\n## A\n\nlast"
    sections = split_sections(body)
    assert list(sections) == ["(introduction)", "A", "A (2)"]
    assert "".join(sections.values()) == body


def test_metadata_that_cannot_be_read_are_named():
    with pytest.raises(ValueError, match="(?s)metadata cannot be read.*Mend the lines"):
        CardParts.parse("---\na: [\n---\n")


def test_a_card_of_a_run_keeps_what_was_added_to_it(tmp_path, caplog):
    config = ViTPoseConfig.from_preset("tiny")
    path = write_model_card(tmp_path, model_config=config, picture=None)
    path.write_text(path.read_text().replace("## Citation", "## Thanks\n\nTo all.\n\n## Citation"))
    arguments = {"metrics": {"AP": 0.5}, "dataset_name": "my people", "picture": None}
    text = write_model_card(tmp_path, model_config=config, **arguments).read_text()
    assert "## Thanks\n\nTo all.\n\n## Citation" in text and "| 0.500 |" in text
    assert "user edits kept: section Thanks" in caplog.text
