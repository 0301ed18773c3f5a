# The rows of configs/studies/grid.py with a narrow TSM18 (32 channels in the first stage), for CPUs: a
# run takes 8 to 15 minutes of one core in place of hours. All else is the same.
#   python tools/data/grid/prepare.py path/to/grid --out data/grid
#   python tools/data/extract_flow.py configs/teacher/actionformer_tsm18_grid_of.py --method dis
#   python tools/analysis_tools/study.py configs/studies/grid_narrow.py
_base_ = ['./grid.py', '../_base_/studies/narrow_tsm18.py']

title = 'GRID: ActionFormer and a narrow TSM18, trained from scratch'
results = 'docs/en/benchmarks/grid_narrow.json'
compare = [
    *_base_.compare,
    ('concat_tg', 'conventional_tg'),
    ('local_of', 'no_distill'),
    ('concat_of', 'conventional_of'),
    ('two_stream', 'local_of'),
    ('two_stream', 'teacher_of'),
]
