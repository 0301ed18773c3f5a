# The method, laid over any detector's config: a dual-branch neck, a shared head, a fusion, and a
# teacher on the temporal gradient that the motion branch mimics. The loss weights are our choice.
fusion = dict(type='LocalAttentiveFusion', window=None, residual=True)

distill = dict(
    teacher=dict(modality=dict(type='TemporalGradientInput')),
    mimics=dict(
        feature=dict(
            loss=dict(type='FeatureMimicLoss', distance='mse', loss_weight=4.0),
            student=dict(source='neck', item='motion'),
            teacher=dict(source='neck'),
        ),
        prediction=dict(
            loss=dict(type='PredictionMimicLoss'),
            student=dict(source='motion_outputs'),
            teacher=dict(source='head'),
        ),
    ),
)

# The mimics come in over the first epoch: at first their gradients are many times those of the other
# losses, and clipping the norm of all would leave the joint head with next to nothing.
custom_hooks = [
    dict(
        type='DistillScheduleHook',
        schedule=dict(
            feature=dict(start=0.0, stop=1.0, begin=0, end=1),
            prediction=dict(start=0.0, stop=1.0, begin=0, end=1),
        ),
    ),
    dict(type='TeacherClassesHook'),
]
