# The main table on GRID with a narrow TSM18 (16 channels in the first stage), for CPUs: a run takes 5
# to 11 minutes of one core, where configs/studies/grid.py takes hours. Same data, losses and loss
# weights. Eight epochs, because the narrow network starts slowly.
#   python tools/data/grid/prepare.py path/to/grid --out data/grid
#   python tools/data/extract_flow.py configs/teacher/actionformer_tsm18_grid_of.py --method dis
#   python tools/analysis_tools/study.py configs/studies/grid_narrow.py
title = 'GRID: ActionFormer and a narrow TSM18, trained from scratch'
seeds = (0, 1, 2, 3, 4)
test_on_training = False
metric = 'mAP_0.3:0.7'
results = 'docs/en/benchmarks/grid_narrow.json'
cfg_options = {
    'train_cfg.max_epochs': 6,
    'train_cfg.val_interval': 6,
    'param_scheduler.1.T_max': 5,
    'param_scheduler.1.end': 6,
    'optim_wrapper.dtype': 'float32',
    'val_cfg.dtype': 'float32',
    'test_cfg.dtype': 'float32',
}

system = 'actionformer_tsm18_grid'
decomp = f'configs/decomp/{system}'
ablation = f'configs/decomp/ablation/{system}'

# The backbone of the quickstart, in each kind of model.
narrow = {
    'backbone.backbone.type': 'NarrowResNetTSM',
    'backbone.backbone.base_channels': 32,
    'backbone.backbone.strides': (2, 2, 2, 2),
    'neck.in_channels': 256,
}
detector = {f'model.{key}': value for key, value in narrow.items()}
branches = {f'model.detector.{key}': value for key, value in narrow.items()}
student = {f'model.student.{key}': value for key, value in narrow.items()}
decomposed = {f'model.student.detector.{key}': value for key, value in narrow.items()}
concat = {'model.student.fusion': dict(_delete_=True, type='ConcatFusion')}
factors = 'custom_hooks.0.schedule'
quarter = {f'{factors}.feature.stop': 0.25, f'{factors}.prediction.stop': 0.25}
by_tg = dict(teacher='teacher_tg', cost=1.6)
by_of = dict(teacher='teacher_of', cost=1.6)

rows = [
    dict(
        name='teacher_tg',
        title='TG teacher',
        config=f'configs/teacher/{system}_tg.py',
        cfg_options=detector,
    ),
    dict(
        name='teacher_of',
        title='OF teacher (DIS)',
        config=f'configs/teacher/{system}_of.py',
        cfg_options=detector,
    ),
    dict(
        name='rgb',
        title='RGB baseline',
        config=f'configs/baseline/{system}.py',
        cfg_options=detector,
    ),
    dict(
        name='two_stream',
        title='RGB baseline and OF teacher, late fusion',
        config=f'configs/baseline/{system}.py',
        cfg_options=detector,
        fuse=('rgb', 'teacher_of'),
    ),
    dict(
        name='no_distill',
        title='two branches, no teacher',
        config=f'{ablation}_no_distill.py',
        cfg_options=branches,
        cost=1.5,
    ),
    dict(
        name='conventional_tg',
        title='conventional, TG',
        config=f'configs/conventional/{system}.py',
        cfg_options=student,
        teacher='teacher_tg',
        cost=1.2,
    ),
    dict(
        name='concat_tg',
        title='concatenation, TG',
        config=f'{decomp}.py',
        cfg_options={**decomposed, **concat},
        **by_tg,
    ),
    dict(
        name='local_tg',
        title='local attention, TG',
        config=f'{decomp}.py',
        cfg_options=decomposed,
        **by_tg,
    ),
    dict(
        name='conventional_of',
        title='conventional, OF',
        config=f'configs/conventional/{system}_of.py',
        cfg_options=student,
        teacher='teacher_of',
        cost=1.2,
    ),
    dict(
        name='concat_of',
        title='concatenation, OF',
        config=f'{decomp}_of.py',
        cfg_options={**decomposed, **concat},
        **by_of,
    ),
    dict(
        name='local_of',
        title='local attention, OF',
        config=f'{decomp}_of.py',
        cfg_options=decomposed,
        **by_of,
    ),
    # Beyond the paper: the mimics have most of the backbone's gradient, so weaker ones.
    dict(
        name='quarter_mimics_tg',
        title='local attention, both mimics at a quarter, TG',
        config=f'{decomp}.py',
        cfg_options={**decomposed, **quarter},
        **by_tg,
    ),
]
del (
    system, decomp, ablation, narrow, detector, branches, student, decomposed, concat, factors,
    quarter, by_tg, by_of,
)  # fmt: skip
compare = [
    ('local_tg', 'rgb'),
    ('local_tg', 'no_distill'),
    ('local_tg', 'conventional_tg'),
    ('local_tg', 'concat_tg'),
    ('concat_tg', 'conventional_tg'),
    ('conventional_tg', 'rgb'),
    ('no_distill', 'rgb'),
    ('local_of', 'rgb'),
    ('local_of', 'no_distill'),
    ('local_of', 'conventional_of'),
    ('local_of', 'concat_of'),
    ('concat_of', 'conventional_of'),
    ('conventional_of', 'rgb'),
    ('quarter_mimics_tg', 'local_tg'),
]
