# The method for MMAction2's BMN: the motion branch mimics the teacher's confidence maps, starts and ends,
# which are scores already. The teacher reads the flow half of two-stream features. Weights are untuned.
_base_ = './decomp_tg.py'

scores = dict(type='ScoreMapMimicLoss', from_logits=False)

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', channels=(200, 400))),
    mimics=dict(
        prediction=dict(
            loss=dict(_delete_=True, **scores),
            student=dict(source='shared_head.x_2d_p'),
            teacher=dict(source='head.x_2d_p'),
        ),
        starts=dict(
            loss=scores,
            student=dict(source='shared_head.x_1d_s'),
            teacher=dict(source='head.x_1d_s'),
        ),
        ends=dict(
            loss=scores,
            student=dict(source='shared_head.x_1d_e'),
            teacher=dict(source='head.x_1d_e'),
        ),
    ),
)

ramp = dict(start=0.0, stop=1.0, begin=0, end=1)
custom_hooks = [
    dict(
        type='DistillScheduleHook',
        schedule=dict.fromkeys(('feature', 'prediction', 'starts', 'ends'), ramp),
    )
]
