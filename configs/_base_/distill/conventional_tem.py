# Conventional distillation for MMAction2's TEM: its only branch mimics the teacher's scores of
# actionness, starts and ends. TEM's scores are sigmoid(0.01 x) of its last convolution's output x, hence
# the scale. The teacher reads the flow half of two-stream features.
_base_ = './conventional_tg.py'

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', channels=(200, 400))),
    mimics=dict(
        prediction=dict(
            loss=dict(_delete_=True, type='ScoreMapMimicLoss', logit_scale=0.01),
            student=dict(source='head.conv3'),
            teacher=dict(source='head.conv3'),
        )
    ),
)
