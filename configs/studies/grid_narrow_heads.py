# Three heads with the same starts: backbones that ActionFormer trained for six epochs, teachers those of
# its teacher with the same input. They train for three epochs more, with a new head.
#   python tools/analysis_tools/study.py configs/studies/grid_narrow_heads.py
_base_ = './grid_narrow_start.py'

title = 'GRID: three heads with a narrow TSM18, from backbones of ActionFormer'
results = 'docs/en/benchmarks/grid_narrow_heads.json'
systems = dict(
    teacher_tg='TG teacher',
    teacher_of='OF teacher (DIS)',
    rgb_on='RGB baseline',
    no_distill='two branches, no teacher',
    conventional_tg='conventional, TG',
    conventional_of='conventional, OF',
    concat_of='concatenation, OF',
    local_tg='local attention, TG',
    local_of='local attention, OF',
)
by_name = {row['name']: row for row in _base_.rows}
rows = [by_name[name] for name in ('teacher_tg', 'teacher_of', 'rgb')]
compare = []
heads = dict(actionformer='ActionFormer', gtad='G-TAD', tadtr='TadTR')
for head, label in heads.items():
    for name, system in systems.items():
        row = by_name[name]
        changes = dict(
            name=f'{head}_{name}',
            title=f'{label}: {system}',
            config=row['config'].replace('actionformer', head),
            start=row.get('start', name),
            # Teachers have the options of a baseline: three epochs.
            cfg_options=by_name['rgb_on' if 'start' not in row else name]['cfg_options'],
        )
        if 'teacher' in row:
            changes.update(teacher=f'{head}_{row["teacher"]}')
        rows.append({**row, **changes})
    pairs = [('no_distill', 'rgb_on')]
    for teacher in ('tg', 'of'):
        pairs.append((f'conventional_{teacher}', 'rgb_on'))
        pairs += [
            (f'local_{teacher}', other)
            for other in ('rgb_on', 'no_distill', f'conventional_{teacher}')
        ]
    pairs += [('local_of', 'concat_of'), ('concat_of', 'rgb_on'), ('concat_of', 'conventional_of')]
    compare += [(f'{head}_{first}', f'{head}_{second}') for first, second in pairs]

# ActionFormer's mimics at a quarter of their weight, one at a time, and without that of features.
row = next(row for row in rows if row['name'] == 'actionformer_local_of')
for name, words, mimic, share in (
    ('quarter_feature', 'mimic of features at a quarter', 'feature', 0.25),
    ('no_feature_mimic', 'mimic of predictions alone', 'feature', 0.0),
    ('quarter_prediction', 'mimic of predictions at a quarter', 'prediction', 0.25),
):
    changes = dict(
        name=f'actionformer_{name}_of',
        title=f'{row["title"]}, {words}',
        cfg_options={f'custom_hooks.0.schedule.{mimic}.stop': share, **row['cfg_options']},
    )
    rows.append({**row, **changes})
    compare += [
        (changes['name'], 'actionformer_local_of'),
        (changes['name'], 'actionformer_rgb_on'),
    ]

# G-TAD's class loss has weight 10; here the class maps count ten times in the mimic, too.
row = next(row for row in rows if row['name'] == 'gtad_local_of')
options = dict(ScoreMapOutputs=dict(class_weight=10.0))
changes = dict(
    name='gtad_class_mimic_of',
    title=f'{row["title"]}, class maps of the mimic at 10',
    cfg_options={'model.distill.mimics.prediction.loss.options': options, **row['cfg_options']},
)
rows.append({**row, **changes})
compare += [('gtad_class_mimic_of', 'gtad_local_of'), ('gtad_class_mimic_of', 'gtad_rgb_on')]
del systems, by_name, heads, head, label, name, system, row, changes, options, pairs, teacher
del words, mimic, share
