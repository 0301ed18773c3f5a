# The method for MMAction2's BMN: the motion branch mimics the teacher's confidence maps, starts and ends.
# Weights are untuned.
_base_ = ['./conventional_bmn.py', './local_attentive_fusion.py']

distill = dict(
    mimics=dict(
        feature=dict(student=dict(item='motion')),
        prediction=dict(student=dict(source='shared_head.x_2d_p')),
        starts=dict(student=dict(source='shared_head.x_1d_s')),
        ends=dict(student=dict(source='shared_head.x_1d_e')),
    ),
)
