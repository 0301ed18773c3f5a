# The method with a teacher on accelerometers.
_base_ = ['./conventional_accelerometers.py', './local_attentive_fusion.py']

distill = dict(
    mimics=dict(
        feature=dict(student=dict(item='motion')),
        prediction=dict(student=dict(source='motion_outputs')),
    ),
)
