# ActionFormer for ActivityNet on the RGB half of two-stream I3D features, with our neck of THUMOS'14 at the
# head's width.
_base_ = ['./actionformer_i3d_features.py', './actionformer_activitynet_head.py']

model = dict(neck=dict(out_channels=256), head=_base_.activitynet_head)
