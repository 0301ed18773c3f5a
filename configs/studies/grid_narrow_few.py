# A quarter of the training videos (124 of 495) and four times the epochs, so as many steps as in
# configs/studies/grid_narrow_start_6e.py: do the gains grow where labelled videos are few?
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_few.py
_base_ = './grid_narrow_start_6e.py'

title = 'GRID: ActionFormer and a narrow TSM18, a quarter of the training videos'
results = 'docs/en/benchmarks/grid_narrow_few.json'
few = {
    # Each word is in six of these videos or more.
    'train_dataloader.dataset.indices': list(range(0, 495, 4)),
    'train_cfg.max_epochs': 24,
    'train_cfg.val_interval': 24,
    'param_scheduler.0.end': 4,
    'param_scheduler.1.begin': 4,
    'param_scheduler.1.T_max': 20,
    'param_scheduler.1.end': 24,
}
mimics = {
    'custom_hooks.0.schedule.feature.end': 4,
    'custom_hooks.0.schedule.prediction.end': 4,
}
names = ('teacher_of', 'teacher_of_on', 'rgb', 'rgb_on', 'no_distill')
names += ('conventional_of', 'concat_of', 'local_of', 'quarter_mimics_of')
rows = []
for row in _base_.rows:
    if row['name'] in names:
        options = {**row.get('cfg_options', {}), **few}
        if 'teacher' in row:
            options.update(mimics)
        title_of_row = row['title'].replace('six epochs', '24 epochs')
        rows.append({**row, 'title': title_of_row, 'cfg_options': options})
compare = [pair for pair in _base_.compare if set(pair) <= set(names)]
del few, mimics, names, row, options, title_of_row
