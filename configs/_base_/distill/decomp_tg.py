# The method, laid over any detector's config: a dual-branch neck, a shared head, a fusion, and a
# teacher on the temporal gradient. The losses are those of conventional distillation; here the motion
# branch and the shared head's outputs on it mimic the teacher. The loss weights are our choice.
_base_ = ['./conventional_tg.py', './local_attentive_fusion.py']

distill = dict(
    mimics=dict(
        feature=dict(student=dict(item='motion')),
        prediction=dict(student=dict(source='motion_outputs')),
    ),
)
