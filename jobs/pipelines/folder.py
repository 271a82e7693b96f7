"""The folder of pipelines: what its files say now, and which of them say nothing that could be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ConfigurationError
from jobs.pipelines.files import Pipeline, check_models, load_pipeline
from jobs.routing import Catalogue

WATCHED = (".toml", ".json")
"""Pipelines, and the schemas and examples that they name."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file: the pipeline that it is, or what is wrong with it, a line for each fault."""

    path: Path
    pipeline: Pipeline | None = None
    trouble: str | None = None

    @property
    def name(self) -> str:
        """The pipeline's name; of a broken file what it would be called by its file's."""
        return self.pipeline.name if self.pipeline else self.path.stem


Signature = tuple[tuple[str, int, int], ...]


class PipelineFolder:
    """Reads the files again when one has changed. A broken one keeps no other from its work."""

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        """Read this folder, which needn't be there; models are those of `catalogue`."""
        self._folder = folder
        self._catalogue = catalogue
        self._read: tuple[Signature, Sequence[Found]] = ((), ())

    def files(self) -> Sequence[Found]:
        """Return what every file is, in the order of their names."""
        signature = self._signature()
        known, found = self._read
        if signature != known:
            found = self._load()
            self._read = signature, found
        return found

    def pipelines(self) -> list[Pipeline]:
        """Return the pipelines whose files are good."""
        return [found.pipeline for found in self.files() if found.pipeline is not None]

    def find(self, name: str) -> Found | None:
        """Return the file of a pipeline; None if there is none."""
        return next((found for found in self.files() if found.name == name), None)

    def _signature(self) -> Signature:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix in WATCHED)
            stats = [(path.name, path.stat()) for path in paths]
        except OSError:
            return ()
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)

    def _load(self) -> list[Found]:
        found: list[Found] = []
        owners: dict[str, str] = {}
        for path in sorted(self._folder.glob("*.toml")):
            try:
                pipeline = load_pipeline(path)
                check_models(pipeline, self._catalogue)
            except ConfigurationError as error:
                told = error.message
                found.append(Found(path, trouble=told if str(path) in told else f"{path}: {told}"))
                continue
            other = owners.setdefault(pipeline.name, path.name)
            if other != path.name:
                trouble = f"{path}: name: {other} is called {pipeline.name!r} already"
                found.append(Found(path, trouble=trouble))
                continue
            found.append(Found(path, pipeline))
        return found
