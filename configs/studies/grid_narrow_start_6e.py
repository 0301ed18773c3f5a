# Six epochs in place of the three of configs/studies/grid_narrow_start.py, twelve in all, for teachers
# too: after three, RGB learned still, and the joint head of one seed was behind the appearance branch.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_start_6e.py
_base_ = './grid_narrow_start.py'

title = 'GRID: ActionFormer and a narrow TSM18, six epochs from trained backbones'
results = 'docs/en/benchmarks/grid_narrow_start_6e.json'
titles = dict(
    rgb_on='RGB baseline, six epochs more',
    teacher_tg='TG teacher, six epochs more',
    teacher_of='OF teacher (DIS), six epochs more',
)
rows = []
for row in _base_.rows:
    name = row['name']
    if name in ('teacher_tg', 'teacher_of'):
        rows.append(dict(row, title=f'{row["title"]}, the start'))
        row = dict(row, name=f'{name}_on', start=name)
    if 'teacher' in row:
        row = dict(row, teacher=f'{row["teacher"]}_on')
    if 'start' in row:
        # The schedule of configs/studies/grid.py again.
        row = {**row, 'cfg_options': {**row['cfg_options'], **_base_.cfg_options}}
    rows.append(dict(row, title=titles.get(name, row['title'])))
    if name == 'rgb':
        two_stream = dict(
            name='two_stream',
            title='RGB baseline and OF teacher, late fusion',
            config=row['config'],
            cfg_options=row['cfg_options'],
            fuse=('rgb_on', 'teacher_of_on'),
        )
rows.append(two_stream)
compare = [*_base_.compare, ('two_stream', 'local_of'), ('two_stream', 'teacher_of_on')]
del titles, row, name, two_stream
