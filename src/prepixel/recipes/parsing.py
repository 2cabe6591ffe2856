"""Read recipes from YAML and overrides into typed values, and write them; every mistake is named by its key."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import re
import reprlib
import stat
import types
import typing
from argparse import ArgumentError
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, Union

import yaml

from prepixel.errors import PrepixelError, RecipeError
from prepixel.files import write_text
from prepixel.recipes.classification import Recipe
from prepixel.recipes.detection import DetectionRecipe
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.stores.remote_path import AnyPath, to_path

AnyRecipe: TypeAlias = Recipe | DetectionRecipe | SegmentationRecipe
MAX_BYTES = 1_000_000
_MAX_DEPTH = 20
_OTHER_TASKS: Mapping[str, type[AnyRecipe]] = {"detection": DetectionRecipe, "segmentation": SegmentationRecipe}


def read_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a classifier's recipe from its YAML file, changed by overrides; see `read_any_recipe`.

    Raises:
        RecipeError: as `read_any_recipe`; or the recipe is a detector's or a segmenter's.
    """
    return _classifiers(read_any_recipe(path, overrides), str(path))


def read_any_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe from its YAML file, changed by overrides; ``task.kind`` says what is trained.

    Args:
        path: the file; a recipe without a name takes the file's.
        overrides: as on a command line: ``["--optimization.learning_rate", "0.1", "--seed=3"]``.

    Raises:
        RecipeError: the file cannot be read or is not YAML, a key is unknown, missing or given twice, or a value is of
            a wrong type or outside its range; the message names file or option, key and what would be right.
    """
    file = Path(path)
    try:
        text = _read_bounded(file).decode("utf-8")
    except OSError as error:
        raise RecipeError(f"{file}: the recipe cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    return parse_any_recipe(text, source=str(file), overrides=overrides, name=file.stem)


def _read_bounded(file: Path) -> bytes:
    """Read a regular file of at most `MAX_BYTES`."""
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for its writer
        raise RecipeError(f"{file}: is not a regular file; give a recipe's .yaml file")
    with file.open("rb") as opened:
        contents = opened.read(MAX_BYTES + 1)
    if len(contents) > MAX_BYTES:
        raise RecipeError(f"{file}: is larger than {MAX_BYTES:,} bytes, which no recipe is; check the path")
    return contents


def parse_recipe(text: str, *, source: str, overrides: Sequence[str] = (), name: str = "") -> Recipe:
    """Read a classifier's recipe from YAML text; see `parse_any_recipe`."""
    return _classifiers(parse_any_recipe(text, source=source, overrides=overrides, name=name), source)


def _classifiers(recipe: AnyRecipe, source: str) -> Recipe:
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{source}: task.kind is {recipe.task.kind}, and a classifier is wanted here; read_any_recipe and open_run "
            "take all kinds"
        )
    return recipe


def parse_any_recipe(text: str, *, source: str, overrides: Sequence[str] = (), name: str = "") -> AnyRecipe:
    """Read a recipe from YAML text; see `read_any_recipe`.

    Args:
        text: the YAML.
        source: what messages call it.
        overrides: see `read_recipe`.
        name: the recipe's name, if it does not state one.
    """
    if len(text) > MAX_BYTES:
        raise RecipeError(f"{source}: is longer than {MAX_BYTES:,} characters, which no recipe is")
    try:
        values = _load_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{source}: not YAML: {_first_problem(error)}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{source}: holds no recipe; a recipe is a list of 'key: value', see recipes/")
    values.setdefault("name", name)
    overridden = _apply_overrides(values, overrides)
    task = values.get("task")
    kind = task.get("kind") if isinstance(task, dict) else None
    described = _OTHER_TASKS.get(kind, Recipe) if isinstance(kind, str) else Recipe
    recipe: AnyRecipe = _Reading(source, overridden).build(described, values, "")
    return recipe


def recipe_values(recipe: AnyRecipe) -> dict[str, Any]:
    """Return a recipe as the nested plain values of its file, every key stated, the seed once."""
    values: dict[str, Any] = _plain(dataclasses.asdict(recipe))
    values["training"].pop("seed")
    return {"name": values.pop("name"), "seed": values.pop("seed"), **values}


def write_recipe(recipe: AnyRecipe, path: Path) -> None:
    """Write a recipe atomically, with every key stated."""
    text = yaml.dump(recipe_values(recipe), Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True)
    write_text(path, text)


def recipe_differences(old: AnyRecipe, new: AnyRecipe) -> dict[str, str]:
    """Return the keys in which two recipes differ, each with text such as ``seed was 3, is 5``."""
    before, after = (flatten(recipe_values(recipe)) for recipe in (old, new))
    return {key: f"{key} was {before[key]}, is {after.get(key)}" for key in before if before[key] != after.get(key)}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values as one level of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def expand_path(text: str, key: str) -> Path:
    """Replace ``${NAME}`` and ``~`` in a recipe's path.

    Raises:
        RecipeError: an environment variable is not set.
    """
    return Path(_with_variables(text, key)).expanduser()


def expand_location(text: str, key: str) -> AnyPath:
    """Replace ``${NAME}`` and, in a path of the file system, ``~`` in what names a folder there or in a store.

    Raises:
        RecipeError: an environment variable is not set.
        StoreError: the URL cannot be used.
    """
    place = to_path(_with_variables(text, key))
    return place.expanduser() if isinstance(place, Path) else place


def _with_variables(text: str, key: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise RecipeError(f"{key} is {text}, and the environment has no {name}; set it: export {name}=FOLDER")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


class _Reading:
    """Build dataclasses from plain values, and remember where each key was given."""

    def __init__(self, source: str, overridden: frozenset[str]) -> None:
        self.source, self.overridden = source, overridden

    def place(self, key: str) -> str:
        """Return where a key was given: in the file, or on the command line."""
        return f"--{key}" if key in self.overridden else f"{self.source}: {key}"

    def build(self, kind: type, values: Any, prefix: str) -> Any:
        """Build a dataclass and those inside it."""
        key = prefix.rstrip(".")
        if not isinstance(values, Mapping):
            raise RecipeError(
                f"{self.place(key)} is {_shown(values)}; it must be a section with {', '.join(_hints(kind))}"
            )
        hints = _hints(kind)
        for name in values:
            if name not in hints:
                raise RecipeError(f"{self.place(f'{prefix}{name}')}: no such key; {_nearest(str(name), prefix, hints)}")
        required = [f.name for f in dataclasses.fields(kind) if _is_required(f)]
        if missing := [f"{prefix}{name}" for name in required if name not in values]:
            raise RecipeError(f"{self.source}: {' and '.join(missing)} must be given")
        built: dict[str, Any] = {}
        for name, value in values.items():
            if dataclasses.is_dataclass(hints[name]):
                built[name] = self.build(hints[name], value, f"{prefix}{name}.")
            else:
                built[name] = self._convert(f"{prefix}{name}", hints[name], value)
        try:
            return kind(**built)
        except PrepixelError as error:
            raise RecipeError(f"{self._blame(prefix, built)}{error}") from error

    def _convert(self, key: str, hint: Any, value: Any) -> Any:
        """Check and convert one value by its annotation."""
        kinds = typing.get_args(hint) if _is_union(hint) else (hint,)
        if str in kinds and isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)  # bands: 192
        if tuple[int, int] in kinds and isinstance(value, int) and not isinstance(value, bool):
            value = [value, value]  # grid: 28
        if value is None and types.NoneType not in kinds:
            raise RecipeError(f"{self.place(key)} is null; it must be {_describe(hint)}")
        if isinstance(value, bool) and bool not in kinds:  # which Python takes for the numbers 0 and 1
            raise RecipeError(f"{self.place(key)} is {str(value).lower()}; it must be {_describe(hint)}")
        try:
            converted = getattr(_parser(hint).parse_object({"value": value}), "value")  # noqa: B009
        except (ArgumentError, TypeError, ValueError) as error:
            raise RecipeError(f"{self.place(key)} is {_shown(value)}; it must be {_describe(hint)}") from error
        return converted

    def _blame(self, prefix: str, built: Mapping[str, Any]) -> str:
        """Return what a section's error names first: the option, if one of its keys was given there."""
        said = [f"--{prefix}{name}" for name in built if f"{prefix}{name}" in self.overridden]
        inside = f"{prefix.rstrip('.')}: " if prefix else ""
        return f"{self.source}{f' with {chr(32).join(said)}' if said else ''}: {inside}"


class _StrictLoader(yaml.SafeLoader):
    """Load YAML without aliases, which can expand to any size, and without a key that is given twice."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        """Compose a node that is neither an alias nor nested too deeply."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias *{event.anchor}: recipes have no aliases; write the value out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            problem = f"nested more than {_MAX_DEPTH} levels deep; a recipe has sections with values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _load_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except RecursionError:  # the scanner's, of text that is nothing but brackets
        raise yaml.MarkedYAMLError(problem=f"nested more than {_MAX_DEPTH} levels deep") from None


def _construct_mapping(loader: _StrictLoader, node: Any) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(problem="a key is text, not a list or section", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


class _RecipeDumper(yaml.SafeDumper):
    """Write sections as blocks and lists in one line, as people write recipes."""


_RecipeDumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)
_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def _shown(value: Any) -> str:
    """Return a value as text for a message, shortened where it is long."""
    text = reprlib.repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _first_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{getattr(error, 'problem', None) or error}"


def _apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> frozenset[str]:
    """Set overridden keys in place, and return their names."""
    keys: set[str] = set()
    words = list(overrides)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise RecipeError(f"{word!r} is neither an option nor an option's value; say --section.key value")
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not words:
                raise RecipeError(f"--{key} needs a value: --{key} VALUE")
            text = words.pop(0)
        try:
            value = _load_yaml(text)
        except (yaml.YAMLError, ValueError):
            value = text
        *sections, name = key.split(".")
        target = values
        for section in sections:
            inner = target.setdefault(section, {})
            if not isinstance(inner, dict):
                raise RecipeError(f"--{key}: {section} is no section of a recipe")
            target = inner
        target[name] = value
        keys.add(key)
    return frozenset(keys)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in {types.UnionType, Union}


@functools.cache
def _parser(hint: Any) -> Any:
    import jsonargparse  # takes a second to load, and reading records needs none of it

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    return parser


def _nearest(name: str, prefix: str, hints: Mapping[str, Any]) -> str:
    """Return the key that was probably meant, of this section first, then of any other."""
    near = difflib.get_close_matches(name, hints, n=1, cutoff=0.6)
    if near:
        return f"nearest: {prefix}{near[0]}"
    everywhere = {key.rpartition(".")[2]: key for key in _all_keys(Recipe, "")}
    elsewhere = difflib.get_close_matches(name, everywhere, n=1, cutoff=0.8)
    if elsewhere:
        return f"nearest: {everywhere[elsewhere[0]]}"
    return f"{prefix.rstrip('.') or 'a recipe'} has {', '.join(hints)}"


def _all_keys(kind: Any, prefix: str) -> list[str]:
    keys: list[str] = []
    for name, hint in _hints(kind).items():
        keys += _all_keys(hint, f"{prefix}{name}.") if dataclasses.is_dataclass(hint) else [f"{prefix}{name}"]
    return keys


def _describe(hint: Any) -> str:
    """Describe what a key accepts."""
    arguments = typing.get_args(hint)
    if _is_union(hint):
        parts = [_describe(part) for part in arguments if part is not types.NoneType]
        return " or ".join([*parts, *(["null"] if types.NoneType in arguments else [])])
    if typing.get_origin(hint) is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if typing.get_origin(hint) is tuple:
        if Ellipsis in arguments:
            return f"a list, each {_describe(arguments[0])}"
        alone = ", or one number for both" if hint == tuple[int, int] else ""
        return f"a list of {len(arguments)}, each {_describe(arguments[0])}{alone}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
