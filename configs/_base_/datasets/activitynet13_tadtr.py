# TadTR predicts sets: no suppression. Scores times those of the two best classes.
_base_ = './activitynet13_proposals.py'

detections = dict(
    post_processor=dict(nms=None, voting_iou=None, classifier=dict(combine='multiply')),
)
proposals = dict(post_processor=dict(nms=None))
