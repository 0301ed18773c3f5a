# G-TAD and TadTR in place of ActionFormer: RGB, the teachers, and students with local attention.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_heads.py
# Backbone, schedule and augmentation are those of configs/studies/grid_narrow.py.
_base_ = './grid_narrow.py'

title = 'GRID: G-TAD and TadTR with a narrow TSM18, trained from scratch'
seeds = (0, 1, 2)
results = 'docs/en/benchmarks/grid_narrow_heads.json'
systems = ('teacher_tg', 'teacher_of', 'rgb', 'local_tg', 'local_of')
rows = []
compare = []
for head, label in (('gtad', 'G-TAD'), ('tadtr', 'TadTR')):
    for row in _base_.rows:
        if row['name'] in systems:
            changes = dict(
                name=f'{head}_{row["name"]}',
                title=f'{label}: {row["title"]}',
                config=row['config'].replace('actionformer', head),
            )
            if 'teacher' in row:
                changes.update(teacher=f'{head}_{row["teacher"]}')
            rows.append({**row, **changes})
    compare += [(f'{head}_local_tg', f'{head}_rgb'), (f'{head}_local_of', f'{head}_rgb')]
del systems, head, label, row, changes
