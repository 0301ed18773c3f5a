# Six epochs in place of the three of configs/studies/grid_narrow_heads.py: after three, the class loss of
# G-TAD falls quickly still, and a student, whose backbone has several losses, is behind its baseline.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_heads_6e.py
_base_ = './grid_narrow_heads.py'

title = 'GRID: three heads with a narrow TSM18, six epochs from backbones of ActionFormer'
results = 'docs/en/benchmarks/grid_narrow_heads_6e.json'
# The schedule of configs/studies/grid.py again, for all but the starts, which have it already.
rows = [
    {**row, 'cfg_options': {**row['cfg_options'], **_base_.cfg_options}} if 'start' in row else row
    for row in _base_.rows
]
