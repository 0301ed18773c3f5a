# Twelve epochs in place of six: whether the gains of configs/studies/grid_narrow.py last, or are those
# of an earlier start.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_12e.py
_base_ = './grid_narrow.py'

title = 'GRID: ActionFormer and a narrow TSM18, twelve epochs from scratch'
seeds = (0, 1, 2)
results = 'docs/en/benchmarks/grid_narrow_12e.json'
cfg_options = {
    'train_cfg.max_epochs': 12,
    'train_cfg.val_interval': 12,
    'param_scheduler.1.T_max': 11,
    'param_scheduler.1.end': 12,
}
names = ('teacher_tg', 'rgb', 'no_distill', 'conventional_tg', 'local_tg')
rows = [row for row in _base_.rows if row['name'] in names]
compare = [pair for pair in _base_.compare if set(pair) <= set(names)]
del names
