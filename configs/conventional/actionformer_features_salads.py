_base_ = [
    '../baseline/actionformer_features_salads.py',
    '../_base_/distill/conventional_accelerometers.py',
]

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/actionformer_features_salads',
)
train_dataloader = dict(dataset=dict(pipeline=_base_.paired_train_pipeline))
