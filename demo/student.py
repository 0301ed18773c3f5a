custom_imports = dict(
    allow_failed_imports=False, imports=[
        'mmtad_decomp',
    ])
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2, type='SafeCheckpointHook'),
    logger=dict(ignore_last=False, interval=20, type='LoggerHook'),
    model_fit=dict(type='ModelFitHook'),
    output_health=dict(interval=100, type='OutputHealthHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    run_summary=dict(type='RunSummaryHook'),
    runtime_info=dict(type='RuntimeInfoHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    timer=dict(type='IterTimerHook'))
default_scope = 'mmaction'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
log_level = 'INFO'
log_processor = dict(by_epoch=True, type='LogProcessor', window_size=20)
model = dict(
    detector=dict(
        backbone=dict(
            backbone=dict(
                base_channels=16,
                conv_cfg=dict(type='mmaction.SmallMapConv2d'),
                depth=18,
                shift_div=8,
                shift_place='blockres',
                strides=[
                    2,
                    2,
                    2,
                    2,
                ],
                type='NarrowResNetTSM'),
            channels_last=True,
            type='VideoEncoder'),
        data_preprocessor=dict(
            modality=dict(type='RGBInput'),
            pad_to=75,
            type='TADDataPreprocessor'),
        head=dict(
            encoder=dict(
                embed_dims=80,
                layer_scale=0.1,
                num_stem_layers=1,
                window_size=9),
            in_channels=80,
            num_classes=26,
            num_levels=4,
            type='ActionFormerHead'),
        neck=dict(in_channels=128, out_channels=80, type='TemporalProjection'),
        type='TADDetector'),
    fusion=dict(residual=True, type='LocalAttentiveFusion', window=None),
    shared_head=False,
    type='DecomposedDetector')
randomness = dict(seed=0)
test_cfg = dict(type='AutocastTestLoop')
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        ann_file='annotations.json',
        data_root='data/grid/',
        metainfo=dict(
            classes=(
                'bin',
                'lay',
                'place',
                'set',
                'blue',
                'green',
                'red',
                'white',
                'at',
                'by',
                'in',
                'with',
                'zero',
                'one',
                'two',
                'three',
                'four',
                'five',
                'six',
                'seven',
                'eight',
                'nine',
                'again',
                'now',
                'please',
                'soon',
            )),
        overlap=0.5,
        pipeline=[
            dict(
                cache_dir='data/grid/cache',
                short_side=32,
                type='LoadVideoFrames'),
            dict(size=(
                28,
                42,
            ), type='CenterSpatialCrop'),
            dict(type='PackTADInputs'),
        ],
        sample_fps=25,
        source='video',
        subset='validation',
        test_mode=True,
        type='TADDataset',
        window=75),
    num_workers=1,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = dict(
    ann_file='data/grid/annotations.json',
    classes=(
        'bin',
        'lay',
        'place',
        'set',
        'blue',
        'green',
        'red',
        'white',
        'at',
        'by',
        'in',
        'with',
        'zero',
        'one',
        'two',
        'three',
        'four',
        'five',
        'six',
        'seven',
        'eight',
        'nine',
        'again',
        'now',
        'please',
        'soon',
    ),
    post_processor=dict(
        max_per_video=200,
        min_length=0.02,
        nms=dict(min_score=0.001, sigma=0.5, type='soft_nms'),
        score_thr=0.001,
        type='PostProcessor',
        voting_iou=None),
    subset='validation',
    tious=dict({
        '0.1:0.5': (
            0.1,
            0.2,
            0.3,
            0.4,
            0.5,
        ),
        '0.3:0.7': (
            0.3,
            0.4,
            0.5,
            0.6,
            0.7,
        )
    }),
    type='TADMetric')
vis_backends = [
    dict(type='LocalVisBackend'),
]
visualizer = dict(
    type='TADVisualizer', vis_backends=[
        dict(type='LocalVisBackend'),
    ])
