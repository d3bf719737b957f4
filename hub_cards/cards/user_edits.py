"""User edits of a model card, kept when the card is written again.

A card ends in a comment with a digest of each part as it was generated: the entries of the metadata and the sections.
A part that differs from its digest was edited by a user, and one without a digest was added by one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from huggingface_hub import ModelCard
from huggingface_hub.utils import yaml_dump

SEAL = re.compile(r"\n*<!-- Written by vitpose[^\n]*?: (?P<digests>[^\n]*) -->\s*$")
SEAL_TEXT = "Written by vitpose. A part that is edited or added by hand stays when the card is written again"
# The card that transformers' push_to_hub leaves in a new repository: a form without any user edit
TRANSFORMERS_FORM = "This model card has been automatically generated."
INTRODUCTION = "(introduction)"  # stands for a heading before the first one
ALWAYS_NEW = "metadata model-index"  # metrics belong to the weights they come with


@dataclass
class CardParts:
    """A model card taken apart.

    Args:
        metadata: The YAML entries.
        sections: Heading -> text from the heading's line to the next heading, `INTRODUCTION` for what comes before the
            first. A heading that comes again gets a number.
        digests: Part -> digest of it as it was generated; a part is `metadata KEY` or `section HEADING`.
    """

    metadata: dict[str, Any]
    sections: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CardParts:
        """Take a card apart.

        Raises:
            ValueError: The metadata are not a YAML mapping, or their model index is invalid.
        """
        try:
            card = ModelCard(text)
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(
                f"The card's metadata cannot be read: {error}. Mend the lines between the two '---'."
            ) from error
        seal = SEAL.search(card.text)
        digests = dict(entry.rsplit("=", 1) for entry in seal["digests"].split("; ")) if seal else {}
        return cls(card.data.to_dict(), split_sections(SEAL.sub("", card.text).strip("\n")), digests)

    @property
    def user_edits(self) -> list[str]:
        """The parts that a user edited or added."""
        return [part for part, text in self._parts().items() if self.digests.get(part) != _digest(text)]

    def seal(self) -> CardParts:
        """The same card with every part declared as generated."""
        return CardParts(self.metadata, self.sections, {part: _digest(text) for part, text in self._parts().items()})

    def render(self) -> str:
        """The card as text, with the digests in a comment at its end."""
        body = "\n\n".join(text.strip("\n") for text in self.sections.values())
        digests = "; ".join(f"{part}={digest}" for part, digest in self.digests.items())
        end = f"\n\n<!-- {SEAL_TEXT}: {digests} -->" if digests else ""
        return f"---\n{yaml_dump(self.metadata, sort_keys=False)}---\n\n{body}{end}\n"

    def _parts(self) -> dict[str, str]:
        metadata = {f"metadata {key}": yaml_dump(value) for key, value in self.metadata.items()}
        return metadata | {f"section {heading}": text for heading, text in self.sections.items()}


def keep_user_edits(new: str, old: str) -> tuple[str, list[str]]:
    """Merge the user edits of an old card into a new one.

    Returns:
        The merged card, and the names of the parts that were kept.

    Where a part was edited in both, the new card's stays. A new card without any digest was not written by vitpose,
    and is returned as it is.

    Raises:
        ValueError: The metadata of a card cannot be read.
    """
    fresh, earlier = CardParts.parse(new), CardParts.parse(old)
    if not fresh.digests or TRANSFORMERS_FORM in old:
        return new, []
    own = set(fresh.user_edits)
    kept = [part for part in earlier.user_edits if part not in own and part != ALWAYS_NEW]
    for part in kept:
        kind, _, name = part.partition(" ")
        if kind == "metadata":
            fresh.metadata[name] = earlier.metadata[name]
        else:
            fresh.sections = _placed(fresh.sections, earlier.sections, name)
    return fresh.render(), kept


def split_sections(body: str) -> dict[str, str]:
    """Heading -> text of the `## ` sections of a Markdown text; lines of code blocks are no headings."""
    sections: dict[str, str] = {INTRODUCTION: ""}
    heading, in_code = INTRODUCTION, False
    for line in body.splitlines(keepends=True):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif line.startswith("## ") and not in_code:
            heading = _free_name(line[3:].strip(), sections)
            sections[heading] = ""
        sections[heading] += line
    return {heading: text for heading, text in sections.items() if text.strip()}


def _free_name(heading: str, taken: dict[str, str]) -> str:
    number, name = 1, heading.replace("; ", ", ")  # the digests are joined by "; "
    while name in taken:
        number += 1
        name = f"{heading} ({number})"
    return name


def _placed(sections: dict[str, str], earlier: dict[str, str], name: str) -> dict[str, str]:
    """`sections` with the earlier section of this name, in its own place or after the one it followed."""
    if name in sections:
        return sections | {name: earlier[name]}
    before = list(earlier)[: list(earlier).index(name)]
    last = next((heading for heading in reversed(before) if heading in sections), None)
    placed: dict[str, str] = {} if last is not None else {name: earlier[name]}
    for heading, text in sections.items():
        placed[heading] = text
        if heading == last:
            placed[name] = earlier[name]
    return placed


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:10]
