# Six epochs in place of the three of configs/studies/grid_narrow_start.py, one of which warms up:
# after three, the joint head of one seed was still behind the appearance branch that it reads.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_start_6e.py
_base_ = './grid_narrow_start.py'

title = 'GRID: ActionFormer and a narrow TSM18, six epochs from the backbone of the RGB baseline'
results = 'docs/en/benchmarks/grid_narrow_start_6e.json'
rows = []
for row in _base_.rows:
    if row['name'] == 'rgb_on':
        row = dict(row, title='RGB baseline, six epochs more')
    if 'start' in row:
        # The schedule of configs/studies/grid.py again.
        row = {**row, 'cfg_options': {**row['cfg_options'], **_base_.cfg_options}}
    rows.append(row)
del row
