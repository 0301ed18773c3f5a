"""What the installed packages define, read from their sources: importing them takes seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

_PLACES = (
    'mmtad_decomp',
    'mmaction',
    'mmcv',
    'mmdet',
    'mmengine',
    'torch/nn/modules',
    'torch/optim',
    'torch/utils/data',
)
"""Packages, or parts of one, whose classes and functions configs name."""
_TRUSTED = {'mmtad_decomp', 'mmengine', 'torch'}
"""Packages whose annotations are right: MMAction2's ``average_clips: Optional[Dict]`` is a str."""
_DEFINITION = re.compile(r'^(?:class|def) (\w+)', re.MULTILINE)
_REGISTERED = re.compile(
    r'^@\w+\.register_module\([^)]*\)\n(?:@.*\n)*(?:class|def) (\w+)', re.MULTILINE
)
_METHOD = re.compile(r'^(?=    (?:@|(?:async )?def )\w)', re.MULTILINE)


class Arguments(NamedTuple):
    """What a class or function can be called with.

    Attributes:
        hints: Annotations of its arguments by name, None where there is none to rely on. A class
            that hands ``**kwargs`` on to its base accepts the base's too.
        open_ended: Whether it may take others.
    """

    hints: dict[str, ast.expr | None]
    open_ended: bool

    @property
    def names(self) -> set[str]:
        """Names of its arguments."""
        return set(self.hints)


class SourceIndex:
    """Top-level classes and functions by name, and every other word of the sources.

    Attributes:
        definitions: Files that define a name.
        registered: Those that register it, and PyTorch's, whose classes MMEngine registers.
        packages: Names of the packages that are read.
    """

    packages = frozenset(place.partition('/')[0] for place in _PLACES)

    def __init__(self) -> None:
        self._texts: dict[Path, str] = {}
        self.definitions: dict[str, list[Path]] = {}
        self.registered: dict[str, list[Path]] = {}
        for place in _PLACES:
            for file in sorted(_folder_of(place).rglob('*.py')):
                if '.mim' not in file.parts:
                    text = self._texts[file] = file.read_text(encoding='utf-8', errors='replace')
                    defined = dict.fromkeys(_DEFINITION.findall(text))
                    for name in defined:
                        self.definitions.setdefault(name, []).append(file)
                    for name in defined if '/' in place else _REGISTERED.findall(text):
                        self.registered.setdefault(name, []).append(file)
        self._parse = functools.cache(self._parse_definition)
        self.alias = functools.cache(self._find_alias)
        self.is_class = functools.cache(self._find_class)

    def mentions(self, word: str) -> bool:
        """Whether a word occurs anywhere, as a name that is registered by hand does."""
        pattern = re.compile(rf'\b{re.escape(word)}\b')
        return word in self.definitions or any(
            word in text and pattern.search(text) for text in self._texts.values()
        )

    def arguments(self, name: str) -> list[Arguments]:
        """Arguments of every registered class or function of that name."""
        return [self._arguments_in(name, file, ()) for file in self.registered.get(name, ())]

    def _parse_definition(self, name: str, file: Path) -> ast.stmt | None:
        """Its syntax tree, of a class without the methods but ``__init__``.

        Parsing whole files would take a second.
        """
        block = re.search(
            rf'^(?:class|def) {name}\b.*?(?=^[^\s)#]|\Z)',
            self._texts[file],
            re.MULTILINE | re.DOTALL,
        )
        if block is None:
            return None
        try:
            head, *methods = _METHOD.split(block[0])
            init = [part for part in methods if part.startswith('    def __init__(')]
            return ast.parse(''.join([head, *init[:1]])).body[0]
        except SyntaxError:  # a text in it has a line that is not indented
            body = ast.parse(self._texts[file]).body
            return next(node for node in body if getattr(node, 'name', None) == name)

    def _arguments_in(self, name: str, file: Path, below: tuple[str, ...]) -> Arguments:
        node = self._parse(name, file)
        if isinstance(node, ast.FunctionDef):
            return Arguments(_hints_of(node.args, file), node.args.kwarg is not None)
        if not isinstance(node, ast.ClassDef):
            return Arguments({}, True)
        hints: dict[str, ast.expr | None] = {}
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == '__init__':
                hints = _hints_of(item.args, file)
                hints.pop('self', None)
                if item.args.kwarg is None:
                    return Arguments(hints, False)
                break
        else:
            if any(isinstance(item, ast.AnnAssign) for item in node.body):
                return Arguments({}, True)  # perhaps a dataclass
        bases = [ast.unparse(base).rpartition('.')[2] for base in node.bases]
        found = [
            self._arguments_in(base, place, (*below, name))
            for base in bases
            if base not in (*below, name)
            for place in self._files_of(base, file)
        ]
        for arguments in found:
            hints = arguments.hints | hints
        closed = len(found) >= len(bases) > 0 and not any(a.open_ended for a in found)
        return Arguments(hints, not closed)

    def _find_alias(self, name: str) -> ast.expr | None:
        """What a name stands for that a file defines as ``Name = Union[...]`` or the like."""
        start = re.compile(rf'^{name} = (?=Union|Optional|List|Dict|Sequence)', re.MULTILINE)
        for text in self._texts.values():
            match = start.search(text) if name in text else None
            if match is None:
                continue
            lines = text[match.end() :].split('\n', 9)[:-1]
            for count in range(1, len(lines) + 1):
                try:
                    return ast.parse('\n'.join(lines[:count]), mode='eval').body
                except SyntaxError:
                    continue
        return None

    def _find_class(self, name: str) -> bool:
        """Whether the sources define a class of that name."""
        files = self.definitions.get(name, ())
        return any(re.search(rf'^class {name}\b', self._texts[f], re.MULTILINE) for f in files)

    def _files_of(self, base: str, file: Path) -> list[Path]:
        """Files that define a base of a class: the class's own, else all."""
        files = self.definitions.get(base, [])
        return [file] if file in files else files


@functools.cache
def source_index() -> SourceIndex:
    """The index, which takes 0.2 s to make."""
    return SourceIndex()


def _folder_of(place: str) -> Path:
    package, _, part = place.partition('/')
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return Path('/nonexistent')
    return Path(spec.origin).parent / part


def _hints_of(arguments: ast.arguments, file: Path) -> dict[str, ast.expr | None]:
    """Annotations of the arguments that a config can name, so without the positional ones."""
    given = (*arguments.args, *arguments.kwonlyargs)
    trusted = not _TRUSTED.isdisjoint(file.parts)
    return {argument.arg: argument.annotation if trusted else None for argument in given}
