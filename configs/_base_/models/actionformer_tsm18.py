# TSM as in E2E-TAD: shift_div 8, blockres, no temporal stride.
# Head as in ActionFormer's THUMOS'14 set-up: width 512, 4 heads, window 19, 6 levels, centre
# sampling 1.5, prior 0.01, focal + DIoU. `num_classes` comes from the data set.
# MMAction2 publishes no Kinetics weights of TSM18, so ImageNet weights start it.
imagenet_resnet18 = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
kinetics_tsm50 = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-100e_kinetics400-rgb/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-100e_kinetics400-rgb_20220831-a6db1e5d.pth'
)
# Settings of a backbone that starts from trained weights and is trained on: statistics of the
# normalisation stay.
fine_tuned = dict(
    freeze_norm=True,
    backbone=dict(pretrained2d=True, pretrained=imagenet_resnet18),
)

model = dict(
    type='TADDetector',
    data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='RGBInput')),
    backbone=dict(
        type='VideoEncoder',
        backbone=dict(
            type='ResNetTSM',
            depth=18,
            shift_div=8,
            shift_place='blockres',
            pretrained=None,
            pretrained2d=False,
            norm_eval=False,
        ),
    ),
    neck=dict(type='TemporalProjection', in_channels=512, out_channels=512),
    head=dict(
        type='ActionFormerHead',
        in_channels=512,
    ),
)
