# ActivityNet-1.3 for class-agnostic heads: 100 proposals of a video, named by a classifier of whole
# videos as in ActionFormer (two best classes, square root of the product). Its scores are not part of
# the project; docs/en/user_guides/postprocessing.md says which files are read. Set `path` where yours is.
_base_ = './activitynet13_frames.py'

num_classes = 1
detections = dict(
    post_processor=dict(
        voting_iou=0.9,
        max_proposals=100,
        classifier=dict(
            type='ExternalClassifier',
            path='data/activitynet/cuhk_val_simp_share.json',
            combine='sqrt',
            top_n=2,
        ),
        max_per_video=None,
    ),
)
