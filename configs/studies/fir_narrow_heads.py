# Other heads in place of ActionFormer on FIR. All start from the backbone that ActionFormer trained for
# 48 epochs, teachers from that of its teacher, and train for 16 epochs: from a random backbone TAGS
# hardly begins to learn in that time.
#   python tools/analysis_tools/study.py configs/studies/fir_narrow_heads.py
_base_ = './fir_narrow_48e.py'

title = 'FIR: other heads with a narrow TSM18, 16 epochs from backbones of ActionFormer'
results = 'docs/en/benchmarks/fir_narrow_heads.json'
systems = dict(teacher_tg='TG teacher', rgb='RGB baseline', local_tg='local attention, TG')
by_name = {row['name']: row for row in _base_.rows}
rows = [by_name[name] for name in ('teacher_tg', 'rgb')]
compare = []
heads = dict(tridet='TriDet', afsd='AFSD', gtad='G-TAD', tadtr='TadTR', tags='TAGS')
for head, label in heads.items():
    for name, system in systems.items():
        changes = dict(
            name=f'{head}_{name}',
            title=f'{label}: {system}',
            config=by_name[name]['config'].replace('actionformer', head),
            start='teacher_tg' if name == 'teacher_tg' else 'rgb',
            cfg_options={
                'train_cfg.max_epochs': 16,
                'train_cfg.val_interval': 16,
                'param_scheduler.1.T_max': 15,
                'param_scheduler.1.end': 16,
            },
        )
        if name == 'local_tg':
            changes.update(teacher=f'{head}_teacher_tg')
        rows.append({**by_name[name], **changes})
    compare.append((f'{head}_local_tg', f'{head}_rgb'))
del systems, by_name, heads, head, label, name, system, changes
