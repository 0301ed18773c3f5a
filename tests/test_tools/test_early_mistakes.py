"""Mistakes in a config are found before torch and the model registries are imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/baseline/actionformer_tsm18_synthetic.py'
HEAVY = ('torch', 'mmaction', 'mmcv', 'mmtad_decomp', 'cv2', 'av')
TRY_ALL = """
import contextlib, io, json, sys, traceback
given = json.loads(sys.stdin.read())
from tools import test, train
from tools.command_line import run_main
found = []
for tool, words in given['lines']:
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            code = run_main({'train': train, 'test': test}[tool].main, words)
        except Exception:
            code = traceback.format_exc()
    found.append([code, err.getvalue(), [name for name in given['heavy'] if name in sys.modules]])
print(json.dumps(found))
"""
MISTAKES = {
    'a misspelt config': (['configs/baseline/actionformer_tsm18_synthtic.py'], 'did you mean'),
    'Python that does not parse': (['{folder}/broken.py'], 'SyntaxError'),
    'a base that is not there': (['{folder}/orphan.py'], 'nowhere.py'),
    'an override that nothing reads': ([CONFIG, 'num_class=3'], 'nothing reads `num_class`'),
    'a misspelt key': ([CONFIG, 'default_hoks.logger.interval=3'], 'did you mean `default_hooks.'),
    'a misspelt argument': (
        [CONFIG, 'model.head.num_clases=3'],
        'unknown key `model.head.num_clases` of ActionFormerHead; did you mean `num_classes`?',
    ),
    'an argument of nothing': ([CONFIG, 'model.head.colour=red'], 'it takes ['),
    'a misspelt argument of a base': (
        [CONFIG, 'model.head.nms_per=9'],
        'unknown key `model.head.nms_per` of ActionFormerHead; did you mean `nms_pre`?',
    ),
    'a head over the options of another one': (
        ['{folder}/overlaid.py'],
        'a base config sets it: `model.head=dict(_delete_=True, ...)` drops',
    ),
    'a text for an argument of a base': (
        [CONFIG, 'model.head.loss_norm=many'],
        "`model.head.loss_norm` is 'many', but ActionFormerHead takes float",
    ),
    'an argument that the head gives its base': (
        [CONFIG, 'model.head.strides=1'],
        'unknown key `model.head.strides` of ActionFormerHead; it takes [',
    ),
    'a misspelt type': (
        [CONFIG, 'model.head.type=ActionFormerHaed'],
        'type `ActionFormerHaed`; did you mean `ActionFormerHead`? (key `model.head.type`)',
    ),
    'a number of classes': (
        [CONFIG, 'model.head.num_classes=7'],
        'model.head.num_classes is 7, but the data set has 8 classes: shake, sway, ',
    ),
    'no batch': (
        [CONFIG, '{tool}_dataloader.batch_size=0'],
        '`{tool}_dataloader.batch_size` is 0; set a whole number of at least 1',
    ),
    'no annotation file': (
        [CONFIG, '{tool}_dataloader.dataset.ann_file=none.json'],
        'none.json does not exist; set `ann_file`',
    ),
    'no annotation file to evaluate with': (
        [CONFIG, 'val_evaluator.ann_file=none.json', 'test_evaluator.ann_file=none.json'],
        'none.json does not exist; set `ann_file`',
    ),
    'an annotation file that is no JSON': (
        [CONFIG, '{tool}_dataloader.dataset.ann_file=broken.py'],
        'broken.py is not valid JSON',
    ),
    'a dict in words': (
        [CONFIG, 'visualizer.vis_backends=[dict(type="LocalVisBackend")]'],
        '`visualizer.vis_backends[0]` is \'dict(type="LocalVisBackend")\', but TADVisua',
    ),
    'a text for a part': (
        [CONFIG, 'model.head=GTADHead'],
        "`model.head` is 'GTADHead', but TADDet",
    ),
    'a text for a number': (
        [CONFIG, 'model.head.num_classes=three'],
        "`model.head.num_classes` is 'three', but ActionFormerHead takes int",
    ),
    'a number for a hook': (
        [CONFIG, 'default_hooks.logger=5'],
        '`default_hooks.logger` is 5, but Runner takes Optional[Dict[str, Union[Hook, Dict]]]',
    ),
    'a number for one of several parts': (
        [CONFIG, 'param_scheduler.0=5'],
        'param_scheduler.0=5 does',
    ),
    'a text for a data set': (
        [CONFIG, '{tool}_dataloader.dataset=FIR'],
        "`{tool}_dataloader.dataset` is 'FIR'; set a dict",
    ),
    'a seed in words': ([CONFIG, 'randomness.seed=one'], "`randomness.seed` is 'one', but Runner"),
    'a misspelt seed': ([CONFIG, 'randomness.sed=1'], 'did you mean `seed`?'),
    'a text for a switch of the environment': (
        [CONFIG, 'env_cfg.cudnn_benchmark=foo'],
        "`env_cfg.cudnn_benchmark` is 'foo', but Runner takes bool",
    ),
    'a misspelt key of the environment': (
        [CONFIG, 'env_cfg.cudnn_benchmrk=True'],
        'unknown key `env_cfg.cudnn_benchmrk` of Runner; did you mean `cudnn_benchmark`?',
    ),
    'a text for settings': (
        [CONFIG, 'env_cfg.dist_cfg=nccl'],
        "`env_cfg.dist_cfg` is 'nccl', but Runner takes dict",
    ),
    'a timeout in words': (
        [CONFIG, 'env_cfg.dist_cfg.timeout=long'],
        "`env_cfg.dist_cfg.timeout` is 'long', but Runner takes float",
    ),
    'a way to start processes that is none': (
        [CONFIG, 'env_cfg.mp_cfg.mp_start_method=fourk'],
        "is 'fourk', but Runner takes Literal['fork', 'spawn', 'forkserver']",
    ),
    'a text for an option of the compiler': (
        [CONFIG, 'compile.fullgraph=yes'],
        "`compile.fullgraph` is 'yes', but Runner takes bool",
    ),
    'a misspelt option of the compiler': (
        [CONFIG, 'compile.bakend=aot_eager'],
        'unknown key `compile.bakend` of Runner; did you mean `backend`?',
    ),
    'a number for modules': ([CONFIG, 'custom_imports=5'], '`custom_imports` is 5, but'),
    'a launcher that did not launch': ([CONFIG, '--launcher', 'pytorch'], 'has no RANK'),
}


def command_line(tool, mistake, folder):
    """Tool, arguments and what the message holds."""
    (config, *rest), message = MISTAKES[mistake]
    words = [config, *([] if tool == 'train' else ['none.pth'])]
    if rest and not rest[0].startswith('--'):
        rest = ['--cfg-options', f'data_root={folder}/', *rest]
    words = [word.format(tool=tool, folder=folder) for word in (*words, *rest)]
    return tool, words, message.format(tool=tool)


CASES = [(tool, mistake) for tool in ('train', 'test') for mistake in MISTAKES]


@pytest.fixture(scope='module')
def reactions(tmp_path_factory):
    """Exit code, error output, heavy imports and the message wanted by case; in one process."""
    folder = tmp_path_factory.mktemp('data')
    (folder / 'broken.py').write_text('model = dict(\n')
    (folder / 'overlaid.py').write_text(
        f'_base_ = {str(ROOT / CONFIG)!r}\nmodel = dict(head=dict(type="GTADHead"))\n'
    )
    (folder / 'orphan.py').write_text("_base_ = 'nowhere.py'\n")
    annotations = [dict(segment=[0, 1], label=label) for label in ('run', 'jump')]
    video = dict(subset='training', duration=2.0, annotations=annotations)
    (folder / 'annotations.json').write_text(json.dumps(dict(database=dict(v=video))))
    lines = [command_line(*case, folder) for case in CASES]
    result = subprocess.run(
        [sys.executable, '-c', TRY_ALL],
        input=json.dumps(dict(heavy=HEAVY, lines=[line[:2] for line in lines])),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    found = zip(CASES, json.loads(result.stdout.splitlines()[-1]), lines)
    return {case: (*reaction, message) for case, reaction, (_, _, message) in found}


@pytest.mark.parametrize(('tool', 'mistake'), CASES)
def test_a_mistake_is_found_before_the_slow_imports(tool, mistake, reactions):
    code, text, heavy, message = reactions[tool, mistake]
    assert code == 2, code
    assert heavy == []
    assert text.startswith('error: ') and text.count('\n') == 1
    assert message in text
