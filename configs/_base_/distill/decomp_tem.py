# The method for MMAction2's TEM: the motion branch mimics the teacher's scores of actionness, starts and ends.
_base_ = ['./conventional_tem.py', './local_attentive_fusion.py']

distill = dict(
    mimics=dict(
        feature=dict(student=dict(item='motion')),
        prediction=dict(student=dict(source='shared_head.conv3')),
    ),
)
