"""A run's folder: what it keeps beside its weights, so that it can go on, and be used, without anything else."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from prepixel.errors import RecipeError
from prepixel.files import write_json
from prepixel.recipes.classification import Recipe
from prepixel.recipes.parsing import AnyRecipe, read_any_recipe, read_recipe, recipe_differences, write_recipe
from prepixel.records import Environment
from prepixel.spectrum import BandSet, Statistics

# What may change between two starts of a run without making it another run.
_FREE = {"name"} | {f"data.{name}" for name in ("threads", "workers", "read_ahead", "val_batch_size")}
_FREE |= {f"training.{name}" for name in ("device", "channels_last", "compile", "compile_backend", "evaluate_every")}
_FREE |= {f"training.{name}" for name in ("checkpoint_steps", "record_steps", "tensorboard", "progress")}


@dataclass(frozen=True)
class RunFolder:
    """Name the files of a run.

    Attributes:
        path: the folder; its name is the run's.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """Name the recipe, every key stated."""
        return self.path / "recipe.yaml"

    @property
    def records(self) -> Path:
        """Name the records."""
        return self.path / "records.jsonl"

    @property
    def statistics(self) -> Path:
        """Name the statistics of the channels; a run on pixels has none."""
        return self.path / "statistics.json"

    @property
    def bands(self) -> Path:
        """Name the band set; a run on pixels has none."""
        return self.path / "bands.json"

    @property
    def classes(self) -> Path:
        """Name the list of classes, in label order."""
        return self.path / "classes.json"

    @property
    def environment(self) -> Path:
        """Name the description of the machine and of versions at the last start."""
        return self.path / "environment.json"

    def checkpoint(self, which: str) -> Path:
        """Name the checkpoint ``best`` or ``last``."""
        return self.path / "checkpoints" / f"{which}.pt"

    def check_free(self, recipe: AnyRecipe, *, resume: bool) -> None:
        """Check that a run may start, or go on, here; nothing is written.

        Raises:
            RecipeError: the folder holds something and ``resume`` is false, or holds another run or no run at all.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RecipeError(f"{self.path}: is a file; give a folder for the run")
        held = [entry.name for entry in self.path.iterdir() if not entry.name.startswith(".prepixel-")]
        if not held:
            return
        if not self.recipe.is_file():
            raise RecipeError(f"{self.path}: holds {held[0]} but no run; give an empty or a new folder")
        if not resume:
            raise RecipeError(
                f"{self.path}: holds a run already; go on with it by --resume, or give another folder by --output"
            )
        found = recipe_differences(read_any_recipe(self.recipe), recipe)
        differences = [text for key, text in found.items() if key not in _FREE]
        if differences:
            raise RecipeError(
                f"{self.path}: cannot be resumed by another recipe: {'; '.join(differences)}. Set them back, or give "
                "another folder by --output"
            )

    def start(
        self, recipe: AnyRecipe, classes: tuple[str, ...], bands: BandSet | None, environment: Environment
    ) -> None:
        """Write what a run keeps of itself, each file whole or not at all.

        Raises:
            RecipeError: the folder is of a run on other classes.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.classes.is_file() and (known := self.read_classes()) != classes:
            changed = sorted(set(known) ^ set(classes)) or ["their order"]
            raise RecipeError(
                f"{self.path}: was trained on {len(known)} classes, and the training folder now has {len(classes)} "
                f"({', '.join(changed[:5])}); give another folder by --output"
            )
        write_json(self.classes, list(classes))
        write_json(self.environment, dataclasses.asdict(environment))
        if bands is not None:
            bands.write(self.bands)
        write_recipe(recipe, self.recipe)

    def read_recipe(self) -> Recipe:
        """Read the run's recipe.

        Raises:
            RecipeError: the folder is missing or holds no run.
        """
        if not self.recipe.is_file():
            what = "no such folder" if not self.path.exists() else "holds no run (no recipe.yaml)"
            raise RecipeError(f"{self.path}: {what}; give a folder that prepixel train made")
        return read_recipe(self.recipe)

    def read_classes(self) -> tuple[str, ...]:
        """Read the class names.

        Raises:
            RecipeError: the file is missing or damaged.
        """
        try:
            names = json.loads(self.classes.read_text(encoding="utf-8"))
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("not a list of names")
        except (OSError, ValueError) as error:
            raise RecipeError(f"{self.classes}: the run's classes cannot be read ({error})") from error
        return tuple(names)

    def read_input(self, recipe: Recipe) -> tuple[BandSet | None, Statistics | None]:
        """Read the run's band set and statistics; nothing for a run on pixels.

        Raises:
            RecipeError: a file is missing or damaged.
        """
        if recipe.input.kind == "rgb":
            return None, None
        bands = BandSet.read(self.bands)
        return bands, Statistics.read(self.statistics).for_bands(bands)
