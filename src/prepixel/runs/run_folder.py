"""A run's folder: everything that is needed to resume and to use the run."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prepixel.errors import RecipeError, RunError, reason_of
from prepixel.file_listing import not_a_folder
from prepixel.files import make_folder, write_json
from prepixel.folder_lock import directory_lock
from prepixel.recipes.classification import Recipe
from prepixel.recipes.parsing import AnyRecipe, read_any_recipe, read_recipe, recipe_differences, write_recipe
from prepixel.recipes.resuming import RESUMABLE_KEYS
from prepixel.records import Environment
from prepixel.spectrum import BandSet, Statistics
from prepixel.stores.remote_path import hide_secrets, is_url
from prepixel.tasks import TargetScaling

_NO_RUN_YET = {"recipe.yaml", "classes.json", "environment.json", "bands.json", "statistics.json", "categories.json"}
_NO_RUN_YET |= {"records.jsonl", "checkpoints", "tensorboard", "targets.json", "store.json"}

_STORE = "store.json"


@dataclass(frozen=True)
class RunFolder:
    """Name the files of a run.

    Attributes:
        path: the folder; its name is the run's.
    """

    path: Path

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> RunFolder:
        """Return the run in a folder of the file system.

        Raises:
            RunError: the folder is in a store.
        """
        if is_url(folder):
            raise RunError(f"{hide_secrets(str(folder))}: is in a store; fetch the run: prepixel fetch URL FOLDER")
        return cls(Path(folder))

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
    def targets(self) -> Path:
        """Name the scaling of a regression's targets; other runs have none."""
        return self.path / "targets.json"

    @property
    def environment(self) -> Path:
        """Name the description of the machine and of versions at the last start."""
        return self.path / "environment.json"

    def checkpoint(self, which: str) -> Path:
        """Name the checkpoint ``best`` or ``last``."""
        return self.path / "checkpoints" / f"{which}.pt"

    def saved_checkpoint(self, which: str) -> Path:
        """Return the checkpoint ``best`` or ``last`` to load: of a run without evaluation ``last`` for both.

        Raises:
            RunError: the run has saved no weights yet.
        """
        path = self.checkpoint(which)
        if which == "best" and not path.exists():
            path = self.checkpoint("last")
        if not path.exists():
            raise RunError(f"{self.path}: has saved no weights yet; train it, or resume it with --resume")
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other processes from training into it until the block ends.

        Raises:
            FolderInUse: another process trains into it.
        """
        make_folder(self.path)
        with directory_lock(self.path, "training into"):
            yield

    def is_empty_run(self) -> bool:
        """Return whether the folder holds only what a run writes before its first checkpoint."""
        held = {entry.name for entry in self.path.iterdir() if not _is_hidden(entry.name)}
        return held <= _NO_RUN_YET and not any(self.path.glob("checkpoints/*.pt"))

    def check_free(self, recipe: AnyRecipe, *, resume: bool) -> None:
        """Check that a run may start, or be resumed, here; nothing is written.

        A run that failed before its first checkpoint has nothing to lose and is overwritten by any other.

        Raises:
            RunError: the folder holds something and ``resume`` is false, or holds another run or no run at all.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunError(f"{self.path}: is a file; give a folder for the run")
        if self.is_empty_run():
            return
        held = sorted(entry.name for entry in self.path.iterdir() if not _is_hidden(entry.name))
        if not self.recipe.is_file():
            raise RunError(f"{self.path}: holds {held[0]} but no run; give an empty or a new folder")
        if not resume:
            raise RunError(
                f"{self.path}: holds a run already; resume it with --resume, or give another folder by --output"
            )
        self.check_same(read_any_recipe(self.recipe), recipe, f"{self.path}", "--output")

    @staticmethod
    def check_same(found: AnyRecipe, recipe: AnyRecipe, where: str, option: str) -> None:
        """Check that a run of one recipe can be resumed by another.

        Args:
            found: the run's.
            recipe: that it shall be resumed by.
            where: the run is.
            option: names another place.

        Raises:
            RunError: they train something else.
        """
        texts = recipe_differences(found, recipe)
        differences = [text for key, text in texts.items() if key not in RESUMABLE_KEYS]
        if differences:
            raise RunError(
                f"{where}: cannot be resumed by another recipe: {'; '.join(differences)}. Set them back, or give "
                f"another folder by {option}"
            )

    def start(
        self,
        recipe: AnyRecipe,
        classes: tuple[str, ...],
        bands: BandSet | None,
        environment: Environment,
        *,
        resume: bool = False,
    ) -> None:
        """Write what a run keeps of itself, each file atomically; the rest of a failed start is removed first.

        Args:
            recipe: the run's.
            classes: names, in label order.
            bands: the channels that the network sees; None for a run on pixels.
            environment: of this start.
            resume: whether statistics that a failed start measured for the same input are kept.

        Raises:
            RunError: the folder is of a run on other classes.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.is_empty_run():
            self._clear(keep_statistics=resume and self._has_input_of(recipe, classes))
        if self.classes.is_file() and (known := self.read_classes()) != classes:
            changed = sorted(set(known) ^ set(classes)) or ["their order"]
            raise RunError(
                f"{self.path}: was trained on {len(known)} classes, and the training folder now has {len(classes)} "
                f"({', '.join(changed[:5])}); give another folder by --output"
            )
        write_json(self.classes, list(classes))
        write_json(self.environment, dataclasses.asdict(environment))
        if bands is not None:
            bands.write(self.bands)
        write_recipe(recipe, self.recipe)

    def _has_input_of(self, recipe: AnyRecipe, classes: tuple[str, ...]) -> bool:
        """Return whether a failed start here had the same data, input and classes, and measured the statistics."""
        if not self.statistics.is_file():
            return False
        try:
            differences = recipe_differences(read_any_recipe(self.recipe), recipe)
            known = self.read_classes()
        except (RecipeError, RunError):  # that start may have died while it wrote them
            return False
        changed = any(key.startswith(("data.", "input.", "task.")) for key in set(differences) - RESUMABLE_KEYS)
        return known == classes and recipe.input.statistics is None and not changed

    def _clear(self, *, keep_statistics: bool) -> None:
        """Remove what a start that failed before its first checkpoint left behind."""
        for entry in self.path.iterdir():
            if entry.name in _NO_RUN_YET and not (keep_statistics and entry == self.statistics):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def read_recipe(self) -> Recipe:
        """Read the run's recipe.

        Raises:
            RunError: the folder is missing or holds no run.
        """
        if not self.recipe.is_file():
            if (self.path / "manifest.json").is_file():
                raise RunError(
                    f"{self.path}: is an exported network, for predict and serve; give the run or the folded file that "
                    "it was made from"
                )
            what = "holds no run (no recipe.yaml)" if self.path.is_dir() else not_a_folder(self.path)
            raise RunError(f"{self.path}: {what}; give a folder that prepixel train made")
        return read_recipe(self.recipe)

    def read_classes(self) -> tuple[str, ...]:
        """Read the class names.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            names = json.loads(self.classes.read_text(encoding="utf-8"))
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("not a list of names")
        except (OSError, ValueError) as error:
            raise RunError(f"{self.classes}: the run's classes cannot be read ({reason_of(error)})") from error
        return tuple(names)

    def write_store(self, url: str) -> None:
        """Note the store that keeps a copy of the run."""
        write_json(self.path / _STORE, {"url": url})

    def read_store(self) -> str | None:
        """Return the URL of the store that keeps a copy of the run; None without one.

        Raises:
            RunError: the note is damaged.
        """
        try:
            url = json.loads((self.path / _STORE).read_text(encoding="utf-8"))["url"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self.path / _STORE}: cannot be read ({reason_of(error)}); remove it, and name the store by --store"
            ) from error
        return str(url)

    def write_scaling(self, scaling: TargetScaling) -> None:
        """Write the scaling of a regression's targets."""
        write_json(self.targets, dataclasses.asdict(scaling))

    def read_scaling(self) -> TargetScaling:
        """Read the scaling of a regression's targets.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            values = json.loads(self.targets.read_text(encoding="utf-8"))
            return TargetScaling(*(tuple(map(float, values[name])) for name in ("mean", "std")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.targets}: the targets' scaling cannot be read ({reason_of(error)})") from error

    def read_input(self, recipe: Recipe) -> tuple[BandSet | None, Statistics | None]:
        """Read the run's band set and statistics; nothing for a run on pixels.

        Raises:
            RunError: a file is missing or damaged.
        """
        if recipe.input.kind == "rgb":
            return None, None
        bands = BandSet.read(self.bands)
        return bands, Statistics.read(self.statistics).for_bands(bands)


def _is_hidden(name: str) -> bool:
    """Return whether a name is that of a lock or of a file that was being written."""
    return name.startswith(".prepixel-")
