# Data sets small enough to train on two CPU cores from video files: windows overlap by half, nothing
# shorter than half a second is detected.
_base_ = './tad.py'

train_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(source='video', overlap=0.5))
val_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(source='video', overlap=0.5))
test_dataloader = val_dataloader

# Votes, unlike ActionFormer: the published numbers of these data sets were measured so.
val_evaluator = test_evaluator = dict(
    tious={
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
    },
    main='0.3:0.7',
    post_processor=dict(min_length=0.5, voting_iou=0.7),
)
