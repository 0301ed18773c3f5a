# The method for MMAction2's BMN: the motion branch mimics the teacher's confidence maps, starts and ends,
# which are scores already. The teacher reads the flow half of two-stream features. Weights are untuned.
_base_ = './decomp_tg.py'

scores = dict(type='ScoreMapMimicLoss', from_logits=False)

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', channels=(200, 400))),
    mimics=dict(
        prediction=dict(
            loss=dict(_delete_=True, **scores), student=dict(item=0), teacher=dict(item=0)
        ),
        starts=dict(
            loss=scores,
            student=dict(source='shared_head', call=1, item=1),
            teacher=dict(source='head', item=1),
        ),
        ends=dict(
            loss=scores,
            student=dict(source='shared_head', call=1, item=2),
            teacher=dict(source='head', item=2),
        ),
    ),
)
