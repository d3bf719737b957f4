"""What all our configurations share: a constructor that knows its keywords, and files that may hold anything.

A keyword that is typed in code and not known is a mistake, and named. A key of a file was written by somebody: another
program, another version, a person's note. It is kept, saved again, and told once.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from transformers import GenerationConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from vitpose.base.names import unknown_name

logger = logging.get_logger(__name__)

Held = TypeVar("Held")
Given = TypeVar("Given")

# What transformers passes to every configuration or writes into its file, beside the fields of its class.
_LIBRARY_KEYS = {
    *("name_or_path", "num_labels", "torch_dtype", "output_attentions", "attn_implementation"),
    *("experts_implementation", "auto_map", "custom_pipelines", "quantization_config"),
}
# Entries of files that say what the configuration knows by itself.
_REPEATED_KEYS = {"model_type", "_name_or_path", "stage_names"}
# Entries of files that say nothing new about a model, beside the settings of text generation.
_COMMON_KEYS = {"use_cache", "intermediate_size", "tie_word_embeddings", "_attn_implementation_autoset", "_commit_hash"}


class Settled(Generic[Held, Given]):
    """`Settled[Held, Given]`, a field that is given as the one, and read as the other once the configuration is made.

    A type checker reads the two methods. At runtime the subscript is `Given`, which is what transformers checks.
    """

    def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
        return types[1]

    def __get__(self, config: object, owner: type) -> Held:
        raise NotImplementedError

    def __set__(self, config: object, value: Given) -> None:
        raise NotImplementedError


def settled_default(value: Any) -> Any:
    """The default of a settled field, in a form that may be given."""
    return value


class ViTPosePreTrainedConfig(PreTrainedConfig):
    """A configuration whose constructor refuses unknown keywords, and whose files may hold any.

    Raises:
        ValueError: A keyword is unknown.
    """

    sub_configs: ClassVar[dict[str, type["ViTPosePreTrainedConfig"]]] = {}  # type of each field that is one
    _model_types: ClassVar[tuple[str, ...]] = ()  # whose files are read beside those of the class's own type
    _kept: ClassVar[Mapping[str, Any]] = {}  # of an instance: keys of its file that can be no attributes

    def __post_init__(self, **kwargs: Any) -> None:
        self._check_keywords(kwargs)
        super().__post_init__(**{name: value for name, value in kwargs.items() if name not in _REPEATED_KEYS})

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A saved configuration as a dictionary, under our own model type."""
        values, unused = super().get_config_dict(*args, **kwargs)
        cls._check_model_type(values, args[0] if args else "This folder")
        return {**values, "model_type": cls.model_type}, unused

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """The configuration of a folder or of a repository on the Hub; `kwargs` override fields.

        Raises:
            ValueError: It is that of another kind of model, a keyword is unknown, or a value contradicts another.
        """
        if kwargs.get("return_unused_kwargs") or kwargs.get("_from_auto"):
            return super().from_pretrained(*args, **kwargs)  # for a model, which takes what is left
        config, unused = super().from_pretrained(*args, return_unused_kwargs=True, **kwargs)
        cls._check_keywords(name for name, value in unused.items() if value is not None and not name.startswith("_"))
        return config

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A configuration from what a file says; `kwargs` override fields, and are checked like them.

        Keys of the file that this version does not know are kept as attributes, saved again, and told once.
        """
        loaded = cls._read(config_dict, kwargs)
        unknown = cls._unknown_keys(config_dict)
        if unknown:
            logger.warning_once(
                f"{cls.__name__}: this version of vitpose does not know {', '.join(unknown)}, which the file sets; "
                "kept and saved again, without effect."
            )
        return loaded

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a dictionary, with what its file had beyond."""
        defaults = {field.name: field.default for field in fields(self)}
        values = super().to_dict()
        values.pop("_kept", None)
        for name in [name for name, value in values.items() if value is None]:
            values[name] = defaults.get(name)
        return {**copy.deepcopy(dict(self._kept)), **values}

    @classmethod
    def _read(cls, config_dict: Mapping[str, Any], kwargs: dict[str, Any]) -> Any:
        """As `from_dict`, saying nothing."""
        cls._check_model_type(config_dict, "The configuration")
        values = cls._prepare({**config_dict}, kwargs)
        defaults = {field.name: field.default for field in fields(cls)}
        unset = {name for name, value in values.items() if value is None and defaults.get(name) is not None}
        known = {name: value for name, value in values.items() if name in cls._keywords() and name not in unset}
        rest = {name: kwargs.pop(name, value) for name, value in values.items() if name not in cls._keywords()}
        loaded = super().from_dict(known, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded  # with return_unused_kwargs, a pair
        config._keep(rest)
        config._check()
        return loaded

    def _keep(self, rest: Mapping[str, Any]) -> None:
        """Keep what the class does not know as attributes; aside what it, or transformers, takes for something else."""
        aside = {}
        for name, value in rest.items():
            if hasattr(type(self), name) or name in vars(self) or name in _generation_keys():
                aside[name] = value
                continue
            vars(self)[name] = value
            try:
                self.validate()
            except Exception:  # of a check of transformers', for a name that it looks for in all configurations
                aside[name] = vars(self).pop(name)
        if aside:
            vars(self)["_kept"] = aside

    def _check(self) -> None:
        """Raise a `ValueError` where fields contradict each other."""

    @classmethod
    def _prepare(cls, values: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The values of a file as the constructor takes them; arguments that replace some of them are taken out."""
        for name, kind in cls.sub_configs.items():
            saved, given = values.get(name), kwargs.pop(name, None)
            if isinstance(given, PreTrainedConfig) or (given is None and isinstance(saved, kind)):
                values[name] = saved if given is None else given
                continue
            kind._check_keywords(given or ())
            saved = saved.to_dict() if isinstance(saved, PreTrainedConfig) else saved
            values[name] = kind._read({**(saved or {}), **(given or {})}, {})
        return values

    @classmethod
    def _keywords(cls) -> set[str]:
        return {field.name for field in fields(cls)} | _LIBRARY_KEYS | _REPEATED_KEYS

    @classmethod
    def _check_keywords(cls, names: Iterable[str]) -> None:
        """Raise a `ValueError` for the first that the constructor does not know."""
        known = cls._keywords()
        listed = sorted(name for name in known - _LIBRARY_KEYS - _REPEATED_KEYS if not name.startswith("_"))
        for name in sorted(set(names) - known):
            raise ValueError(unknown_name(f"{cls.__name__}, keyword", name, listed))

    @classmethod
    def _check_model_type(cls, values: Mapping[str, Any], place: object) -> None:
        known = [*cls._model_types, cls.model_type]
        if values.get("model_type") not in (None, *known):
            *first, last = map(repr, known)
            expected = f"{', '.join(first)} or {last}" if first else last
            raise ValueError(
                f"{place} holds a {values['model_type']!r} model; expected {expected}. Load it with transformers' "
                "AutoModel."
            )

    @classmethod
    def _unknown_keys(cls, values: Mapping[str, Any]) -> list[str]:
        """Keys of a file to tell of: those that set something, and that no program writes into every file."""
        common = cls._keywords() | _COMMON_KEYS | _generation_keys()
        unknown = [name for name, value in values.items() if value and name not in common]
        for name, kind in cls.sub_configs.items():
            if isinstance(values.get(name), Mapping):
                unknown += [f"{name}.{key}" for key in kind._unknown_keys(values[name])]
        return unknown


@cache
def _generation_keys() -> frozenset[str]:
    """Settings of text generation, which transformers saves with no model; the cache is set on all kinds of models."""
    return frozenset(GenerationConfig().to_dict()) - {"use_cache"}
