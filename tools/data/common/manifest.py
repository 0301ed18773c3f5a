"""A record of what made a folder: a repeated command does nothing, a killed one goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from .files import read_json, write_json


class Manifest:
    """The file ``manifest.json`` of a generated folder.

    Args:
        folder: The folder.
        arguments: Everything that its content depends on, as JSON values.
    """

    def __init__(self, folder: Path, arguments: Mapping[str, object]) -> None:
        self.folder = folder
        self.arguments = dict(arguments)
        self._path = folder / 'manifest.json'
        try:
            self._stored = read_json(self._path)
        except (FileNotFoundError, ValueError):
            self._stored = {}

    def is_complete(self) -> bool:
        """Whether these arguments made the folder and every file still has its size."""
        files = self._stored.get('files')
        if self._stored.get('arguments') != self.arguments or not files:
            return False
        return all(
            (self.folder / name).is_file() and (self.folder / name).stat().st_size == size
            for name, size in files.items()
        )

    def begin(self, planned: Iterable[str]) -> None:
        """Make ready for writing: videos of other arguments, or of a damaged set, are removed.

        Files that an interrupted run with the same arguments finished are kept, and so are files
        that no run made.

        Args:
            planned: Files that will be written (relative names).

        Raises:
            ValueError: If one of them is there and no run made it.
        """
        planned = list(planned)
        made = {*self._stored.get('planned', ()), *self._stored.get('files', ())}
        for path in (self.folder / name for name in planned if name not in made):
            if path.exists():
                raise ValueError(
                    f'{path} would be replaced, but this command did not make it; move it away, '
                    'or name another --out'
                )
        if self._stored.get('arguments') != self.arguments or 'files' in self._stored:
            for stale in (self.folder / 'videos').glob('*.mp4'):
                if f'videos/{stale.name}' in made:
                    stale.unlink()
            write_json(self._path, {'arguments': self.arguments, 'planned': planned})

    def finish(self, files: Iterable[str]) -> None:
        """Record that the folder is complete, with these files (relative names)."""
        sizes = {name: (self.folder / name).stat().st_size for name in files}
        write_json(self._path, {'arguments': self.arguments, 'files': sizes})
