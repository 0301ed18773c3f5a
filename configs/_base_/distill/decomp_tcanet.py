# The method for MMAction2's TCANet: at each of its three stages the motion branch refines proposals as the
# teacher does.
_base_ = ['./conventional_tcanet.py', './local_attentive_fusion.py']

distill = dict(
    mimics=dict(
        feature=dict(student=dict(item='motion')),
        prediction=dict(student=dict(source='shared_head.tbr1')),
        stage2=dict(student=dict(source='shared_head.tbr2')),
        stage3=dict(student=dict(source='shared_head.tbr3')),
    ),
)
