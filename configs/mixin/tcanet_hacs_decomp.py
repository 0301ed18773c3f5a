_base_ = ['./tcanet_hacs_baseline.py', '../_base_/distill/decomp_tcanet.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedLocalizer', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/mixin/tcanet_hacs_teacher',
)

train_dataloader = dict(dataset=dict(pipeline=_base_.paired_train_pipeline))

work_dir = 'work_dirs/mixin/tcanet_hacs_decomp'
val_evaluator = dict(dump_config=dict(out=f'{work_dir}/results.json'))
test_evaluator = val_evaluator
