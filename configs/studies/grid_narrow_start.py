# All systems start from the backbone of the trained RGB baseline of their seed, as the paper's start
# from Kinetics weights, and train for three epochs more: gains that are left are not those of an
# earlier start.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_start.py
# The start and the teachers are rows of configs/studies/grid_narrow.py, six epochs from scratch.
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
rows = []
for row in _base_.rows:
    if row['name'] == 'rgb':
        rows.append(dict(row, title='RGB baseline, the start'))
        row = dict(row, name='rgb_on', title='RGB baseline, three epochs more')
    if row['name'] in ('teacher_tg', 'teacher_of'):
        rows.append(row)
    elif row['name'] != 'two_stream':
        options = {**row.get('cfg_options', {}), **three_epochs}
        rows.append({**row, 'start': 'rgb', 'cfg_options': options})
compare = [
    (first, 'rgb_on' if second == 'rgb' else second)
    for first, second in _base_.compare
    if first != 'two_stream'
]
compare.append(('local_of', 'local_tg'))
del three_epochs, row, options
