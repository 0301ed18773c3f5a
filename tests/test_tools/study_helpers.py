"""A small study whose trainings and tests are a script that writes what the tools would write."""

import json
import multiprocessing
import sys
from multiprocessing import forkserver
from pathlib import Path

from tools import script_process
from tools.studies import Catalog, Execution, Results, execution, load_study, make_plan
from tools.studies.processes import Slot

FAKE = """
import json, random, sys, time
from pathlib import Path
kind, config = sys.argv[1:3]
option = lambda name: sys.argv[sys.argv.index(name) + 1]
if kind == 'fuse':  # what it combines, then its options
    parts = sys.argv[2:sys.argv.index('--config')]
    config, work = option('--config'), Path(option('--out')).with_suffix('')
    assert len({Path(part).read_text() for part in parts}) == len(parts) == 2
else:
    work = Path(option('--work-dir'))
cfg = {}
exec(Path(config).read_text(), cfg)
work.mkdir(parents=True, exist_ok=True)
with open(cfg['journal'], 'a') as file:
    file.write(f'{kind} {work.parent.parent.name if kind == "train" else work.name} '
               f'{cfg["randomness"]["seed"]} {cfg["model"].get("teacher_checkpoint")}\\n')
if cfg['model'].get('fails') == kind:
    print('something broke')
    sys.exit(3)
if kind == 'train':
    logs = work / '1' / 'vis_data'
    logs.mkdir(parents=True, exist_ok=True)
    begin = len(list(work.glob('epoch_*.pth')))
    for epoch in range(begin, cfg['train_cfg']['max_epochs']):
        print(f'Epoch(train)  [{epoch + 1}][3/3]  lr: 1.0e-03  loss: 0.7', flush=True)
        time.sleep(cfg['model'].get('pause', 0))
        (work / f'epoch_{epoch + 1}.pth').write_text('weights')
        record = {'loss': 1.0, 'time': 2.0, 'step': 3 * epoch + 3}
        record['health/grad_norm/head'] = float(epoch)
        with open(logs / 'scalars.json', 'a') as file:
            file.write(json.dumps(record) + '\\n')
        (work / 'last_checkpoint').write_text(str(work / f'epoch_{epoch + 1}.pth'))
metric = cfg.get('val_evaluator') if kind == 'train' else cfg['test_evaluator']
if metric is not None:
    content = json.loads(Path(metric['ann_file']).read_text())
    rng = random.Random(f'{cfg["randomness"]["seed"]} {sorted(content["database"])}')
    results = {}
    for name, video in content['database'].items():
        if video['subset'] == metric['subset']:
            results[name] = [
                dict(segment=[a + cfg['blur'] * rng.random() for a in item['segment']],
                     score=rng.random(), label=item['label'])
                for item in video['annotations']]
    options = dict(test='--dump-json', fuse='--out')
    target = option(options[kind]) if kind in options else metric['dump_path']
    Path(target).write_text(json.dumps(dict(results=results)))
    if metric.get('raw_path'):
        Path(metric['raw_path']).write_text(f'candidates of {config}')
"""

CONFIG = """
journal = {journal!r}
blur = {blur}
model = dict(type='TADDetector', width={blur}{teacher})
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
randomness = dict(seed=7)
ann_file = 'annotations{{{{$STUDY_TEST_FOLD:_}}}}.json'
train_dataloader = dict(num_workers=4, dataset=dict(
    type='TADDataset', data_root={root!r}, ann_file=ann_file, subset='training'))
test_dataloader = dict(dataset=dict(
    type='TADDataset', data_root={root!r}, ann_file=ann_file, subset='validation'))
test_evaluator = dict(type='TADMetric', ann_file={root!r} + ann_file, subset='validation',
    tious=dict(low=(0.3, 0.5), high=(0.7, 0.9)), dump_path=None)
"""


def in_fork(main, arguments):
    """Start a command line in a fork of this process, which need not import everything again.

    Args:
        main: Its function.
        arguments: Its arguments.
    """

    def run():
        # The server of this process is not the fork's child, so it cannot ask whether it runs.
        forkserver._forkserver._forkserver_pid = None
        sys.exit(main(arguments))

    process = multiprocessing.get_context('fork').Process(target=run)
    process.start()
    return process


class Project:
    """Configs, data and a study file in a folder of their own.

    Args:
        folder: Where.
        monkeypatch: Puts the script in place of ``tools/train.py`` and ``tools/test.py``.
    """

    def __init__(self, folder, monkeypatch):
        self.folder, self.journal = folder, folder / 'journal'
        script = folder / 'fake.py'
        script.write_text(FAKE)
        for kind in ('train', 'test', 'fuse'):
            monkeypatch.setattr(execution, kind.upper(), (str(script), kind))
        monkeypatch.setattr(script_process, 'PRELOADED', 'json')  # all that the script needs
        for fold in ('_', '0', '1'):
            self.write_annotations(fold)
        for name, blur in (('rgb', 0.9), ('tg', 0.1), ('student', 0.3)):
            teacher = ", teacher_checkpoint='elsewhere'" if name == 'student' else ''
            fields = dict(journal=str(self.journal), root=f'{folder}/', blur=blur)
            (folder / f'{name}.py').write_text(CONFIG.format(teacher=teacher, **fields))

    def write_annotations(self, fold='_', extra=0, empty=0):
        """Two training videos and three to validate, other ones in each fold.

        Args:
            fold: Whose file.
            extra: More videos to validate.
            empty: How many of the last videos have no instance.
        """
        database = {}
        for index in range(5 + extra):
            items = [
                dict(segment=[3 * i, 3 * i + 1 + (index + i) % 3], label='ab'[(index + i) % 2])
                for i in range(4 if index < 5 + extra - empty else 0)
            ]
            subset = 'training' if index < 2 else 'validation'
            database[f'v{fold}{index}'] = dict(subset=subset, duration=20, annotations=items)
        content = dict(classes=['a', 'b'], database=database)
        (self.folder / f'annotations{fold}.json').write_text(json.dumps(content))

    def rows(self, **student):
        """Rows of a student, a baseline and the teacher, in this order."""
        config = lambda name: str(self.folder / f'{name}.py')  # noqa: E731
        return [
            dict(name='student', config=config('student'), teacher='tg') | student,
            dict(name='rgb', config=config('rgb'), title='RGB baseline'),
            dict(name='tg', config=config('tg')),
        ]

    def study(self, **more):
        """Write the study file and read it."""
        content = dict(rows=self.rows(), seeds=[0, 1], work_dir=str(self.folder / 'work'))
        content |= dict(compare=[('student', 'rgb')], resamples=200, metric='mAP_low') | more
        file = self.folder / 'small.py'
        file.write_text('\n'.join(f'{key} = {value!r}' for key, value in content.items()))
        return load_study(file)

    def catalog(self, **more):
        """The runs of the study."""
        return Catalog(self.study(**more))

    def run(self, catalog, rows=None, seeds=None, slots=1):
        """Work the study off; returns failures and the lines of the journal."""
        self.journal.unlink(missing_ok=True)
        results = Results(catalog)
        lines = []
        execution = Execution(catalog, results, [Slot((0,))] * slots, lines.append, 0.05)
        failures = execution.run(make_plan(catalog, results, rows, seeds))
        text = Path(self.journal).read_text() if self.journal.exists() else ''
        return failures, text.splitlines()
