# Two branches, the detector as shared and as joint head, and a fusion.
_base_ = './baseline.py'

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(
        type='DecomposedLocalizer',
        detector=dict(
            type='LocalizerDetector',
            data_preprocessor=_base_.model.data_preprocessor,
            neck=dict(type='TemporalProjection', in_channels=16, out_channels=16),
            head=dict(type='example_detector.ActionnessNet', in_channels=16),
        ),
        fusion=dict(type='LocalAttentiveFusion'),
    ),
    teacher_checkpoint='work_dirs/example_detector/teacher',
    distill=dict(
        teacher=dict(
            detector=_base_.model, modality=dict(type='FeatureInput', key='motion_features')
        ),
        mimics=dict(
            feature=dict(
                loss=dict(type='FeatureMimicLoss'),
                student=dict(source='shared_head.encoder'),
                teacher=dict(source='encoder'),
            ),
            scores=dict(
                loss=dict(type='ScoreMapMimicLoss'),
                student=dict(source='shared_head.scores'),
                teacher=dict(source='scores'),
            ),
        ),
    ),
)
work_dir = 'work_dirs/example_detector/decomp'
