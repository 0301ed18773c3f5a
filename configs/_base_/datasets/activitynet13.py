# Evaluation on ActivityNet-1.3, for frames and features alike: mAP and average recall. Data sets add the
# annotation file, configs make their evaluator the list of both. Soft-NMS is ActionFormer's for
# ActivityNet.
detections = dict(
    type='TADMetric',
    subset='validation',
    tious=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    post_processor=dict(
        type='PostProcessor',
        score_thr=0.001,
        nms=dict(type='soft_nms', sigma=0.75, min_score=0.001),
        max_per_video=100,
    ),
)
proposals = dict(
    type='ProposalMetric',
    subset='validation',
    post_processor=dict(
        type='PostProcessor',
        score_thr=0.001,
        nms=dict(type='soft_nms', sigma=0.75, min_score=0.001, class_aware=False),
        max_per_video=100,
    ),
)

# What class-agnostic heads add to the post-processing of detections: voting, as in ActionFormer's release
# with one class only, and 100 proposals of a video, named by a classifier of whole videos (two best
# classes, square root of the product). Its scores are not part of the project;
# docs/en/user_guides/postprocessing.md says which files are read.
classifier = dict(type='ExternalClassifier', combine='sqrt', top_n=2)
one_class = dict(voting_iou=0.9, max_proposals=100, max_per_video=None)
