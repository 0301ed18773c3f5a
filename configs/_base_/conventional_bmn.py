# Conventional distillation for MMAction2's BMN: its only branch mimics the teacher's maps, starts and ends.
_base_ = './conventional_tg.py'

scores = dict(type='ScoreMapMimicLoss', from_logits=False)

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', channels=(200, 400))),
    mimics=dict(
        prediction=dict(
            loss=dict(_delete_=True, **scores), student=dict(item=0), teacher=dict(item=0)
        ),
        starts=dict(
            loss=scores, student=dict(source='head', item=1), teacher=dict(source='head', item=1)
        ),
        ends=dict(
            loss=scores, student=dict(source='head', item=2), teacher=dict(source='head', item=2)
        ),
    ),
)
