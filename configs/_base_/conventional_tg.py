# Conventional distillation: the detector's only branch mimics the same teacher by the same losses.
distill = dict(
    teacher=dict(modality=dict(type='TemporalGradientInput')),
    mimics=dict(
        feature=dict(
            loss=dict(type='FeatureMimicLoss', distance='mse', loss_weight=4.0),
            student=dict(source='neck'),
            teacher=dict(source='neck'),
        ),
        prediction=dict(
            loss=dict(type='PointPredictionMimicLoss', temperature=1.0, boundary='giou'),
            student=dict(source='head'),
            teacher=dict(source='head'),
        ),
    ),
)

custom_hooks = [dict(type='DistillScheduleHook')]
