"""Help texts come before torch, MMEngine and the like are imported."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / 'tools').rglob('*.py')
    if "__name__ == '__main__'" in path.read_text(encoding='utf-8')
)
COMMANDS = [*SCRIPTS, 'mmtad.py', 'mmtad.py train', 'mmtad.py data convert']
HEAVY = ('torch', 'mmengine', 'mmcv', 'mmaction', 'mmtad_decomp', 'cv2', 'av', 'matplotlib')
ASK_ALL = """
import contextlib, io, json, runpy, sys, traceback
answers = {}
given = json.loads(sys.stdin.read())
sys.modules.update(dict.fromkeys(given['heavy']))  # None: importing them is an error
for command in given['commands']:
    sys.argv, path, out = [*command.split(), '--help'], list(sys.path), io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(sys.argv[0], run_name='__main__')
        answers[command] = 'no help'
    except SystemExit as end:
        answers[command] = [end.code, 'help' in out.getvalue()]
    except BaseException:
        answers[command] = traceback.format_exc()
    sys.path[:] = path
print(json.dumps(answers))
"""


@pytest.fixture(scope='module')
def answers():
    """Exit code of every command and whether it printed help, or the error; in one process."""
    result = subprocess.run(
        [sys.executable, '-c', ASK_ALL],
        input=json.dumps(dict(commands=COMMANDS, heavy=HEAVY)),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return json.loads(result.stdout)


@pytest.mark.parametrize('command', COMMANDS)
def test_help_imports_nothing_heavy(command, answers):
    assert answers[command] == [0, True]


def test_every_tool_is_asked():
    """A script that reads a command line can be run."""
    parsing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / 'tools').rglob('*.py')
        if '.parse_args(' in path.read_text(encoding='utf-8')
    }
    assert parsing <= set(SCRIPTS)


@pytest.mark.parametrize('script', SCRIPTS)
def test_every_tool_ends_a_mistake_with_one_sentence(script):
    """By :func:`tools.command_line.run_main`, around all that it does."""
    if script == 'tools/quickstart.py':  # has sentences of its own
        return
    text = (ROOT / script).read_text(encoding='utf-8')
    main = re.search(r"__name__ == '__main__':\n    .*\bmain\b.*\n\Z", text)
    assert main and 'run_main(' in text, script


def test_the_guide_names_the_tools_with_a_traceback_flag():
    guide = (ROOT / 'docs/en/user_guides/train_test.md').read_text(encoding='utf-8')
    sentence = re.search(r'the flag `--traceback` of (.*?)\.\s', guide, re.DOTALL)
    flag = re.compile(r'add_(traceback|common)_arguments?\(parser\)')
    with_flag = {
        Path(script).name
        for script in SCRIPTS
        if flag.search((ROOT / script).read_text(encoding='utf-8'))
    }
    assert sentence and set(re.findall(r'`(\w+\.py)`', sentence[1])) == with_flag
