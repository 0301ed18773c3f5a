# All systems start from the backbone of the trained RGB baseline of their seed, as the paper's start
# from Kinetics weights, and train for three epochs more: gains that are left are not those of an
# earlier start.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_start.py
# The start and the teacher are rows of configs/studies/grid_narrow.py, six epochs from scratch.
_base_ = './grid_narrow.py'

title = 'GRID: ActionFormer and a narrow TSM18, from the backbone of the RGB baseline'
seeds = (0, 1, 2)
results = 'docs/en/benchmarks/grid_narrow_start.json'
three_epochs = {
    'train_cfg.max_epochs': 3,
    'train_cfg.val_interval': 3,
    'param_scheduler.1.T_max': 2,
    'param_scheduler.1.end': 3,
}
by_name = {row['name']: row for row in _base_.rows}
rows = [dict(by_name['rgb'], title='RGB baseline, the start'), by_name['teacher_of']]
more = [dict(by_name['rgb'], name='rgb_on', title='RGB baseline, three epochs more')]
more += [by_name[name] for name in ('no_distill', 'conventional_of', 'concat_of', 'local_of')]
for row in more:
    options = {**row['cfg_options'], **three_epochs}
    rows.append({**row, 'start': 'rgb', 'cfg_options': options})
compare = [
    ('local_of', 'rgb_on'),
    ('local_of', 'no_distill'),
    ('local_of', 'conventional_of'),
    ('local_of', 'concat_of'),
    ('conventional_of', 'rgb_on'),
    ('no_distill', 'rgb_on'),
]
del three_epochs, by_name, more, row, options
