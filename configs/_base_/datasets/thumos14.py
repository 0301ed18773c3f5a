# Classes and evaluation of THUMOS'14, for frames and features alike.
classes = (
    'BaseballPitch', 'BasketballDunk', 'Billiards', 'CleanAndJerk', 'CliffDiving',
    'CricketBowling', 'CricketShot', 'Diving', 'FrisbeeCatch', 'GolfSwing', 'HammerThrow',
    'HighJump', 'JavelinThrow', 'LongJump', 'PoleVault', 'Shotput', 'SoccerPenalty',
    'TennisSwing', 'ThrowDiscus', 'VolleyballSpiking',
)  # fmt: skip
num_classes = 20
ignore_labels = ('Ambiguous',)

evaluation = dict(
    classes=classes,
    ignore_labels=ignore_labels,
    tious=(0.3, 0.4, 0.5, 0.6, 0.7),
    # heads bound the candidates of a window; the releases have no bound per video
    post_processor=dict(pre_nms_topk=None),
)
