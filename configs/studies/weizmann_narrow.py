# Weizmann, composed (semi-synthetic), with a narrow TSM18 and crops of 36x36, for CPUs. Three folds that
# leave three actors out each, pooled: each of the 72 held-out clips is tested once.
# The TG teacher is behind RGB (docs/en/user_guides/datasets.md), so it has little to teach.
#   python tools/data/weizmann/compose.py path/to/weizmann --out data/weizmann
#   python tools/analysis_tools/study.py configs/studies/weizmann_narrow.py
_base_ = '../_base_/studies/narrow_tsm18.py'

title = 'Weizmann, composed: ActionFormer and a narrow TSM18, trained from scratch'
seeds = (0, 1, 2)
fold_variable = 'MMTAD_WEIZMANN_FOLD'
folds = ('0', '1', '2')
test_on_training = True
metric = 'mAP_0.3:0.7'
results = 'docs/en/benchmarks/weizmann_narrow.json'
cfg_options = {
    'train_cfg.max_epochs': 32,
    'train_cfg.val_interval': 32,
    'param_scheduler.1.T_max': 31,
    'param_scheduler.1.end': 32,
    'train_dataloader.dataset.pipeline.0.short_side': 42,
    'train_dataloader.dataset.pipeline.1.size': 36,
    'val_dataloader.dataset.pipeline.0.short_side': 42,
    'val_dataloader.dataset.pipeline.1.size': 36,
    'test_dataloader.dataset.pipeline.0.short_side': 42,
    'test_dataloader.dataset.pipeline.1.size': 36,
    'optim_wrapper.dtype': 'float32',
    'val_cfg.dtype': 'float32',
    'test_cfg.dtype': 'float32',
}

system = 'actionformer_tsm18_weizmann'
student = dict(config=f'configs/decomp/{system}.py', teacher='teacher_tg', cost=1.6)
rows = [
    dict(name='teacher_tg', title='TG teacher', config=f'configs/teacher/{system}_tg.py'),
    dict(name='rgb', title='RGB baseline', config=f'configs/baseline/{system}.py'),
    dict(
        name='two_stream',
        title='RGB baseline and TG teacher, late fusion',
        config=f'configs/baseline/{system}.py',
        fuse=('rgb', 'teacher_tg'),
    ),
    dict(
        name='conventional_tg',
        title='conventional, TG',
        config=f'configs/conventional/{system}.py',
        teacher='teacher_tg',
        cost=1.3,
    ),
    dict(
        name='concat_tg',
        title='concatenation, TG',
        cfg_options={'model.student.fusion': dict(_delete_=True, type='ConcatFusion')},
        **student,
    ),
    dict(name='local_tg', title='local attention, TG', **student),
]
del system, student
compare = [
    ('local_tg', 'rgb'),
    ('local_tg', 'conventional_tg'),
    ('local_tg', 'concat_tg'),
    ('concat_tg', 'conventional_tg'),
    ('conventional_tg', 'rgb'),
    ('two_stream', 'local_tg'),
]
