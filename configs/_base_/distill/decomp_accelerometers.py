# As with the temporal gradient, but the teacher reads accelerometers (30 channels), which the data set
# loads beside the features in training. An epoch has four steps, so the mimics come in over five.
_base_ = './decomp_tg.py'

distill = dict(
    teacher=dict(
        modality=dict(_delete_=True, type='FeatureInput', key='motion_features'),
        neck=dict(in_channels=30),
    ),
)

ramp = dict(start=0.0, stop=1.0, begin=0, end=5)
custom_hooks = [
    dict(type='DistillScheduleHook', schedule=dict(feature=ramp, prediction=ramp)),
    dict(type='TeacherClassesHook'),
]
