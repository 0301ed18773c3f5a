# Six epochs in place of the three of configs/studies/grid_narrow_start.py, twelve in all, for teachers
# too: after three, RGB learned still, and the joint head of one seed was behind the appearance branch.
# The other fusions and the ablations have the flow teacher: after twelve epochs the one on temporal
# gradients is hardly better than RGB.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_start_6e.py
_base_ = './grid_narrow_start.py'

title = 'GRID: ActionFormer and a narrow TSM18, six epochs from trained backbones'
seeds = (0, 1, 2, 3, 4)
results = 'docs/en/benchmarks/grid_narrow_start_6e.json'
titles = dict(
    rgb_on='RGB baseline, six epochs more',
    teacher_tg='TG teacher, six epochs more',
    teacher_of='OF teacher (DIS), six epochs more',
)
fusions = dict(
    sum_tg='SumFusion',
    self_tg='SelfAttentionFusion',
    cross_tg='CrossAttentionFusion',
    diff_tg='DiffAttentionFusion',
)
main = ('conventional_tg', 'concat_tg', 'local_tg')
rows = []
flow = {row['name']: row for row in _base_.rows if row['name'].endswith('_of')}
to_flow = {}
for row in _base_.rows:
    name = row['name']
    if name in ('teacher_tg', 'teacher_of'):
        rows.append(dict(row, title=f'{row["title"]}, the start'))
        row = dict(row, name=f'{name}_on', start=name)
    elif name.endswith('_tg') and name not in main:
        to_flow[name] = name.replace('_tg', '_of')
        if to_flow[name] in flow:
            continue
        options = dict(row['cfg_options'])
        if name in fusions:
            options['model.student.fusion'] = dict(_delete_=True, type=fusions[name])
        changes = dict(
            name=to_flow[name],
            title=row['title'].replace(', TG', ', OF'),
            config=flow['local_of']['config'],
            cfg_options=options,
            teacher='teacher_of',
        )
        row = {**row, **changes}
    if 'teacher' in row:
        row = dict(row, teacher=f'{row["teacher"]}_on')
    if 'start' in row:
        # The schedule of configs/studies/grid.py again.
        row = {**row, 'cfg_options': {**row.get('cfg_options', {}), **_base_.cfg_options}}
    rows.append(dict(row, title=titles.get(name, row['title'])))
    if name == 'rgb':
        two_stream = dict(
            name='two_stream',
            title='RGB baseline and OF teacher, late fusion',
            config=row['config'],
            fuse=('rgb_on', 'teacher_of_on'),
        )
rows.append(two_stream)
compare = [('two_stream', 'local_of'), ('two_stream', 'teacher_of_on')]
for first, second in _base_.compare:
    if first in to_flow or second in to_flow:
        first = to_flow.get(first, 'local_of')
        second = to_flow.get(second, 'local_of')
    if (first, second) not in compare:
        compare.append((first, second))
del titles, fusions, main, flow, to_flow, row, name, options, changes, two_stream, first, second
