"""The console command ``mmtad``: the project's tools from anywhere.

    mmtad train CONFIG            tools/train.py
    mmtad test CONFIG CHECKPOINT  tools/test.py
    mmtad infer VIDEO...          tools/infer.py
    mmtad report RUN [RUN]        tools/analysis_tools/report.py
    mmtad data convert LABELS     tools/data/convert.py
    mmtad data browse CONFIG      tools/analysis_tools/browse_dataset.py
    mmtad data flow CONFIG        tools/data/extract_flow.py
    mmtad data NAME SRC           tools/data/NAME/prepare.py, such as grid or fir

Arguments are those of the tools; ``mmtad COMMAND --help`` lists them. A config
``configs/decomp/actionformer_tsm18_fir.py`` that does not lie in the current folder is taken from
the installed package. Data and results lie in the current folder.

This module lies beside the package: importing that takes seconds, a help text should not.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

_TOOLS = {
    'train': 'tools.train',
    'test': 'tools.test',
    'infer': 'tools.infer',
    'report': 'tools.analysis_tools.report',
}
_DATA_TOOLS = {
    'convert': 'tools.data.convert',
    'browse': 'tools.analysis_tools.browse_dataset',
    'flow': 'tools.data.extract_flow',
}


def find_root() -> Path:
    """The folder of ``configs`` and ``tools``: a clone, or ``.mim`` of an installed package.

    Raises:
        FileNotFoundError: If the package has neither.
    """
    package = Path(__file__).resolve().parent / 'mmtad_decomp'
    for folder in (package / '.mim', package.parent):
        if (folder / 'tools' / 'train.py').is_file():
            return folder
    raise FileNotFoundError(
        f'{package} has no tools beside it; install the package from a wheel or a clone'
    )


def find_tool(words: Sequence[str], root: Path) -> tuple[str, str, list[str]]:
    """The tool that a command line names.

    Args:
        words: The command line without ``mmtad``.
        root: Result of :func:`find_root`.

    Returns:
        Name of its module, the words that name it, and the arguments left.

    Raises:
        ValueError: If there is no such command.
    """
    if words[0] in _TOOLS:
        return _TOOLS[words[0]], words[0], list(words[1:])
    sets = sorted(path.parent.name for path in (root / 'tools' / 'data').glob('*/prepare.py'))
    known = {**_DATA_TOOLS, **{name: f'tools.data.{name}.prepare' for name in sets}}
    if words[0] != 'data':
        raise ValueError(f'mmtad has no command {words[0]!r}; use {", ".join(_TOOLS)} or data')
    if len(words) < 2 or words[1] not in known:
        named = f', not {words[1]!r}' if len(words) > 1 else ''
        raise ValueError(f'mmtad data takes one of {", ".join(known)}{named}')
    return known[words[1]], ' '.join(words[:2]), list(words[2:])


def find_config(argument: str, root: Path) -> str:
    """A config of the package where the current folder has none of that name."""
    inside = root / argument
    known = argument.startswith('configs/') and inside.is_file()
    return str(inside) if known and not Path(argument).exists() else argument


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help'):
        print(__doc__)
        return 0 if words else 2
    try:
        root = find_root()
        module, name, arguments = find_tool(words, root)
    except (FileNotFoundError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    sys.path.insert(0, str(root))
    arguments = [find_config(argument, root) for argument in arguments]
    sys.argv = [f'mmtad {name}', *arguments]  # for help texts and --traceback
    from tools.command_line import run_main

    return run_main(lambda: importlib.import_module(module).main(arguments))


if __name__ == '__main__':
    sys.exit(main())
