# The rows of configs/studies/grid.py with a narrow TSM18 (32 channels in the first stage), for CPUs: a
# run takes 8 to 15 minutes of one core in place of hours. All else is the same.
#   python tools/data/grid/prepare.py path/to/grid --out data/grid
#   python tools/data/extract_flow.py configs/teacher/actionformer_tsm18_grid_of.py --method dis
#   python tools/analysis_tools/study.py configs/studies/grid_narrow.py
_base_ = './grid.py'

title = 'GRID: ActionFormer and a narrow TSM18, trained from scratch'
results = 'docs/en/benchmarks/grid_narrow.json'

# The backbone of the quickstart with twice its channels.
narrow = {
    'backbone.backbone.type': 'NarrowResNetTSM',
    'backbone.backbone.base_channels': 32,
    'backbone.backbone.strides': (2, 2, 2, 2),
    'neck.in_channels': 256,
}
# Where a row's config has the detector: by its folder, and by its own name where that differs.
places = dict(
    teacher='model',
    baseline='model',
    conventional='model.student',
    decomp='model.student.detector',
    no_distill='model.detector',
)
rows = []
for row in _base_.rows:
    place = places.get(row['name'], places[row['config'].split('/')[1]])
    options = {f'{place}.{key}': value for key, value in narrow.items()}
    rows.append({**row, 'cfg_options': {**options, **row.get('cfg_options', {})}})
compare = [
    *_base_.compare,
    ('concat_tg', 'conventional_tg'),
    ('local_of', 'no_distill'),
    ('concat_of', 'conventional_of'),
    ('two_stream', 'local_of'),
    ('two_stream', 'teacher_of'),
]
del narrow, places, row, place, options
