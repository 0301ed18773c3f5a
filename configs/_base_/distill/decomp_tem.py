# The method for MMAction2's TEM: the motion branch mimics the teacher's scores of actionness, starts and ends.
# TEM's scores are sigmoid(0.01 x) of its last convolution's output x, hence the temperature; the loss weight
# takes out the factor of its square. The teacher reads the flow half of two-stream features.
_base_ = './decomp_tg.py'

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', channels=(200, 400))),
    mimics=dict(
        prediction=dict(
            loss=dict(
                _delete_=True, type='ScoreMapMimicLoss', temperature=100.0, loss_weight=1e-4
            ),
            student=dict(source='shared_head.conv3'),
            teacher=dict(source='head.conv3'),
        )
    ),
)
