# The main study on GRID: ActionFormer and TSM18, all rows with the same schedule and augmentation.
#   python tools/data/grid/prepare.py path/to/grid --out data/grid
#   python tools/data/extract_flow.py configs/teacher/actionformer_tsm18_grid_of.py --method dis
#   python tools/analysis_tools/study.py configs/studies/grid.py
title = 'GRID: ActionFormer and TSM18, trained from scratch'
seeds = (0, 1, 2, 3, 4)
test_on_training = False
metric = 'mAP_0.3:0.7'
results = 'docs/en/benchmarks/grid.json'
# One precision on every processor, so that rows of different machines can be compared. Six epochs:
# after the four of the configs, seeds differ by as much as rows.
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
conventional = f'configs/conventional/{system}'
decomp = f'configs/decomp/{system}'
ablation = f'configs/decomp/ablation/{system}'
by_tg = dict(teacher='teacher_tg', cost=1.6)
by_of = dict(teacher='teacher_of', cost=1.6)
concat = dict(_delete_=True, type='ConcatFusion')
factors = 'custom_hooks.0.schedule'

rows = [
    dict(name='teacher_tg', title='TG teacher', config=f'configs/teacher/{system}_tg.py'),
    dict(name='teacher_of', title='OF teacher (DIS)', config=f'configs/teacher/{system}_of.py'),
    dict(name='rgb', title='RGB baseline', config=f'configs/baseline/{system}.py'),
    dict(
        name='two_stream',
        title='RGB baseline and OF teacher, late fusion',
        config=f'configs/baseline/{system}.py',
        fuse=('rgb', 'teacher_of'),
    ),
    dict(
        name='no_distill',
        title='two branches, no teacher',
        config=f'{ablation}_no_distill.py',
        cost=1.5,
    ),
    dict(name='conventional_tg', title='conventional, TG', config=f'{conventional}.py', **by_tg),
    dict(name='concat_tg', title='concatenation, TG', config=f'{ablation}_concat.py', **by_tg),
    dict(name='local_tg', title='local attention, TG', config=f'{decomp}.py', **by_tg),
    dict(
        name='conventional_of', title='conventional, OF', config=f'{conventional}_of.py', **by_of
    ),
    dict(
        name='concat_of',
        title='concatenation, OF',
        config=f'{decomp}_of.py',
        cfg_options={'model.student.fusion': concat},
        **by_of,
    ),
    dict(name='local_of', title='local attention, OF', config=f'{decomp}_of.py', **by_of),
    # The other fusions.
    dict(name='sum_tg', title='sum, TG', config=f'{ablation}_sum.py', **by_tg),
    dict(name='self_tg', title='self-attention, TG', config=f'{ablation}_self_attn.py', **by_tg),
    dict(
        name='cross_tg', title='cross-attention, TG', config=f'{ablation}_cross_attn.py', **by_tg
    ),
    dict(name='diff_tg', title='diff-attention, TG', config=f'{ablation}_diff_attn.py', **by_tg),
    # Parts of the method, changed one at a time. The window is None (all steps) elsewhere.
    dict(
        name='window5_tg',
        title='local attention, window 5, TG',
        config=f'{decomp}.py',
        cfg_options={'model.student.fusion.window': 5},
        **by_tg,
    ),
    dict(
        name='window17_tg',
        title='local attention, window 17, TG',
        config=f'{decomp}.py',
        cfg_options={'model.student.fusion.window': 17},
        **by_tg,
    ),
    dict(
        name='no_residual_tg',
        title='local attention without residual, TG',
        config=f'{decomp}.py',
        cfg_options={'model.student.fusion.residual': False},
        **by_tg,
    ),
    dict(
        name='no_app_tg',
        title='local attention without appearance loss, TG',
        config=f'{decomp}.py',
        cfg_options={'model.student.appearance_weight': 0.0},
        **by_tg,
    ),
    dict(
        name='separate_heads_tg',
        title='local attention without shared head, TG',
        config=f'{decomp}.py',
        cfg_options={'model.student.separate_heads': True},
        **by_tg,
    ),
    # The mimics have two thirds of the backbone's gradient: weaker ones, both and the feature's.
    dict(
        name='quarter_mimics_tg',
        title='local attention, both mimics at a quarter, TG',
        config=f'{decomp}.py',
        cfg_options={f'{factors}.feature.stop': 0.25, f'{factors}.prediction.stop': 0.25},
        **by_tg,
    ),
    dict(
        name='quarter_mimics_of',
        title='local attention, both mimics at a quarter, OF',
        config=f'{decomp}_of.py',
        cfg_options={f'{factors}.feature.stop': 0.25, f'{factors}.prediction.stop': 0.25},
        **by_of,
    ),
    dict(
        name='quarter_feature_tg',
        title='local attention, feature mimic at a quarter, TG',
        config=f'{decomp}.py',
        cfg_options={f'{factors}.feature.stop': 0.25},
        **by_tg,
    ),
    dict(
        name='motion_drop_tg',
        title='local attention, motion dropped in half of the samples, TG',
        config=f'{decomp}.py',
        cfg_options={'model.student.motion_drop_rate': 0.5},
        **by_tg,
    ),
]
del system, conventional, decomp, ablation, by_tg, by_of, concat, factors
compare = [
    ('local_tg', 'rgb'),
    ('local_tg', 'no_distill'),
    ('local_tg', 'conventional_tg'),
    ('local_tg', 'concat_tg'),
    ('conventional_tg', 'rgb'),
    ('no_distill', 'rgb'),
    ('local_of', 'rgb'),
    ('local_of', 'conventional_of'),
    ('local_of', 'concat_of'),
    ('conventional_of', 'rgb'),
    ('local_tg', 'sum_tg'),
    ('local_tg', 'self_tg'),
    ('local_tg', 'cross_tg'),
    ('local_tg', 'diff_tg'),
    ('local_tg', 'window5_tg'),
    ('local_tg', 'window17_tg'),
    ('local_tg', 'no_residual_tg'),
    ('local_tg', 'no_app_tg'),
    ('local_tg', 'separate_heads_tg'),
    ('quarter_mimics_tg', 'local_tg'),
    ('quarter_mimics_of', 'local_of'),
    ('quarter_feature_tg', 'local_tg'),
    ('motion_drop_tg', 'local_tg'),
]
