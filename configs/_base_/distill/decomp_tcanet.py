# The method for MMAction2's TCANet: at each of its three stages the motion branch refines proposals as the
# teacher does. The teacher reads motion features that the pipeline loads beside the others.
_base_ = './decomp_tg.py'

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', key='motion_features')),
    mimics=dict(
        prediction=dict(
            loss=dict(_delete_=True, type='ProposalMimicLoss'),
            student=dict(source='shared_head.tbr1'),
            teacher=dict(source='head.tbr1'),
        ),
        stage2=dict(
            loss=dict(type='ProposalMimicLoss'),
            student=dict(source='shared_head.tbr2'),
            teacher=dict(source='head.tbr2'),
        ),
        stage3=dict(
            loss=dict(type='ProposalMimicLoss'),
            student=dict(source='shared_head.tbr3'),
            teacher=dict(source='head.tbr3'),
        ),
    ),
)

ramp = dict(start=0.0, stop=1.0, begin=0, end=1)
custom_hooks = [
    dict(
        type='DistillScheduleHook',
        schedule=dict.fromkeys(('feature', 'prediction', 'stage2', 'stage3'), ramp),
    )
]
