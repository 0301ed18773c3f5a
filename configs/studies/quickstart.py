# The README's first command runs seed 0 of this study. Its committed results are of all three seeds:
#   python tools/analysis_tools/study.py configs/studies/quickstart.py \
#       --results docs/en/benchmarks/quickstart.json
title = 'Quickstart: ActionFormer and a narrow TSM18 on the embedded part of GRID'
work_dir = 'work_dirs/quickstart'
seeds = (0, 1, 2)
metric = 'mAP_0.3:0.7'
test_on_training = False

system = 'actionformer_tsm18narrow_grid_mini'
rows = [
    dict(
        name='teacher',
        title='motion teacher (TG)',
        config=f'configs/teacher/{system}_tg.py',
    ),
    dict(name='baseline', title='RGB baseline', config=f'configs/baseline/{system}.py'),
    dict(
        name='conventional',
        title='RGB, conventional distillation',
        config=f'configs/conventional/{system}.py',
        teacher='teacher',
        cost=1.3,
    ),
    dict(
        name='decomposed',
        title='RGB, decomposed distillation',
        config=f'configs/decomp/{system}.py',
        teacher='teacher',
        cost=2.0,
    ),
]
del system
compare = [
    ('decomposed', 'baseline'),
    ('decomposed', 'conventional'),
    ('conventional', 'baseline'),
]
