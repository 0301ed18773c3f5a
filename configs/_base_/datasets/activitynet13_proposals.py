# ActivityNet-1.3 as frames for class-agnostic heads. Set `path` where your classifier's scores are.
_base_ = './activitynet13_frames.py'

num_classes = 1
detections = dict(
    post_processor=dict(
        **_base_.one_class,
        classifier=dict(**_base_.classifier, path=_base_.data_root + 'cuhk_val_simp_share.json'),
    ),
)
