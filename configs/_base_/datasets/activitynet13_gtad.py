# G-TAD's post-processing: soft-NMS of sigma 0.8, no voting, 100 proposals, each with the two best
# classes of the video, whose scores it is multiplied by.
_base_ = './activitynet13_proposals.py'

detections = dict(
    post_processor=dict(
        nms=dict(sigma=0.8), voting_iou=None, classifier=dict(combine='multiply', top_n=2)
    ),
)
proposals = dict(post_processor=dict(nms=dict(sigma=0.8)))
