# The main study on GRID: ActionFormer and TSM18, all rows with the same schedule and augmentation.
#   python tools/data/grid/prepare.py path/to/grid --out data/grid
#   python tools/data/extract_flow.py configs/teacher/actionformer_tsm18_grid_of.py
#   python tools/analysis_tools/study.py configs/studies/grid.py --results docs/en/benchmarks/grid.json
title = 'GRID: ActionFormer and TSM18, trained from scratch'
seeds = (0, 1, 2, 3, 4)
metric = 'mAP_0.3:0.7'
# One precision on every processor, so that rows of different machines can be compared.
cfg_options = {
    'optim_wrapper.dtype': 'float32',
    'val_cfg.dtype': 'float32',
    'test_cfg.dtype': 'float32',
}

system = 'actionformer_tsm18_grid'
rows = [
    dict(name='teacher_tg', title='TG teacher', config=f'configs/teacher/{system}_tg.py'),
    dict(name='rgb', title='RGB baseline', config=f'configs/baseline/{system}.py'),
    dict(
        name='conventional_tg',
        title='conventional, TG',
        config=f'configs/conventional/{system}.py',
        teacher='teacher_tg',
        cost=1.4,
    ),
    dict(
        name='concat_tg',
        title='decomposed, concatenation, TG',
        config=f'configs/decomp/ablation/{system}_concat.py',
        teacher='teacher_tg',
        cost=1.6,
    ),
    dict(
        name='local_tg',
        title='decomposed, local attention, TG',
        config=f'configs/decomp/{system}.py',
        teacher='teacher_tg',
        cost=1.6,
    ),
    dict(name='teacher_of', title='OF teacher (TV-L1)', config=f'configs/teacher/{system}_of.py'),
    dict(
        name='conventional_of',
        title='conventional, OF',
        config=f'configs/conventional/{system}_of.py',
        teacher='teacher_of',
        cost=1.4,
    ),
    dict(
        name='local_of',
        title='decomposed, local attention, OF',
        config=f'configs/decomp/{system}_of.py',
        teacher='teacher_of',
        cost=1.6,
    ),
]
del system
compare = [
    ('local_tg', 'rgb'),
    ('local_tg', 'conventional_tg'),
    ('local_tg', 'concat_tg'),
    ('conventional_tg', 'rgb'),
    ('local_of', 'rgb'),
]
