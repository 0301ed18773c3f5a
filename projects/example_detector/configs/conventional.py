# The detector as it is; recorders name its modules.
_base_ = './baseline.py'

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    teacher_checkpoint='work_dirs/example_detector/teacher',
    distill=dict(
        teacher=dict(modality=dict(type='FeatureInput', key='motion_features')),
        mimics=dict(
            feature=dict(
                loss=dict(type='FeatureMimicLoss'),
                student=dict(source='encoder'),
                teacher=dict(source='encoder'),
            ),
            scores=dict(
                loss=dict(type='ScoreMapMimicLoss'),
                student=dict(source='scores'),
                teacher=dict(source='scores'),
            ),
        ),
    ),
)
work_dir = 'work_dirs/example_detector/conventional'
