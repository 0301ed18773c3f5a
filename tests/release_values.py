"""Values of official releases, taken from their code and settings, and where they show here.

Keys are paths into the built head (``head...``), the config (``optim_wrapper...`` and the like) or
the post-processor's settings (``post...``). Nothing here is read from this project's defaults.
"""

INF = float('inf')
RANGES = [(0.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, INF)]

# github.com/happyharrycn/actionformer_release: configs/thumos_i3d.yaml, libs/core/config.py
ACTIONFORMER = {
    'head.encoder.strides': (1, 2, 4, 8, 16, 32),
    'head.point_generator.regress_ranges': RANGES,
    'head.assigner.radius': 1.5,
    'head.loss_cls.alpha': 0.25,
    'head.loss_cls.gamma': 2.0,
    'head.loss_norm_momentum': 0.9,
    'head.pyramid.top_down': False,
    'head.score_thr': 0.001,
    'head.nms_pre': 2000,
    'post.score_thr': 0.001,
    'post.nms.type': 'soft_nms',
    'post.nms.min_score': 0.001,
    'optim_wrapper.optimizer.type': 'AdamW',
    'optim_wrapper.optimizer.weight_decay': 0.05,
    'optim_wrapper.clip_grad.max_norm': 1.0,
    'optim_wrapper.paramwise_cfg.flat_decay_mult': 0.0,
    'default_hooks.ema.momentum': 0.001,
}
ACTIONFORMER_THUMOS = ACTIONFORMER | {
    'head.num_classes': 20,
    'head.encoder.out_channels': 512,
    'head.encoder.window_sizes': (19,) * 6,
    'head.max_seq_len': 2304,
    'head.label_smoothing': 0.0,
    'head.loss_norm': 100.0,
    'head.loss_reg.loss_weight': 1.0,
    'head.min_length': 0.05,
    'post.nms.sigma': 0.5,
    'post.voting_iou': None,
    'post.max_per_video': 200,
    'optim_wrapper.optimizer.lr': 1e-4,
}
# configs/thumos_i3d.yaml, and the settings of the published model: 5 + 30 epochs
ACTIONFORMER_FEATURES = ACTIONFORMER_THUMOS | {
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.feature_stride': 4,
    'train_dataloader.dataset.feature_frames': 16,
    'train_dataloader.dataset.pipeline.1.max_length': 2304,
    'train_dataloader.dataset.pipeline.1.min_visible': 0.5,
    'train_dataloader.dataset.pipeline.1.crop_ratio': (0.9, 1.0),
    'train_cfg.max_epochs': 35,
    'param_scheduler.0.end': 5,
    'param_scheduler.1.type': 'CosineAnnealingLR',
    'param_scheduler.1.T_max': 30,
}
# configs/anet_i3d.yaml and anet_tsp.yaml
ACTIONFORMER_ACTIVITYNET = ACTIONFORMER | {
    'head.num_classes': 1,
    'head.encoder.out_channels': 256,
    'head.encoder.window_sizes': (7, 7, 7, 7, 7, None),
    'head.encoder.position_length': 192,
    'head.max_seq_len': 192,
    'head.label_smoothing': 0.1,
    'head.loss_reg.loss_weight': 2.0,
    'head.min_length': 0.001,
    'post.nms.sigma': 0.75,
    'post.voting_iou': 0.9,
    'post.max_proposals': 100,
    'post.classifier.top_n': 2,
    'post.classifier.combine': 'sqrt',
}
# configs/anet_i3d.yaml, libs/datasets/anet.py: resized, then cropped in training; 5 + 10 epochs
ACTIONFORMER_ACTIVITYNET_FEATURES = ACTIONFORMER_ACTIVITYNET | {
    'head.loss_norm': 200.0,
    'optim_wrapper.optimizer.lr': 1e-3,
    'train_dataloader.batch_size': 16,
    'train_dataloader.dataset.sample_fps': 25,
    'train_dataloader.dataset.feature_stride': 16,
    'train_dataloader.dataset.feature_frames': 16,
    'train_dataloader.dataset.template': 'v_{}.npy',
    'train_dataloader.dataset.pipeline.1.type': 'ResizeFeatures',
    'train_dataloader.dataset.pipeline.1.steps': 192,
    'train_dataloader.dataset.pipeline.2.min_visible': 0.5,
    'train_dataloader.dataset.pipeline.2.crop_ratio': (0.9, 1.0),
    'test_dataloader.dataset.pipeline.1.steps': 192,
    'train_cfg.max_epochs': 15,
    'param_scheduler.0.end': 5,
    'param_scheduler.1.type': 'CosineAnnealingLR',
    'param_scheduler.1.begin': 5,
    'param_scheduler.1.T_max': 10,
    'param_scheduler.1.end': 15,
}

# github.com/frostinassiky/gtad: opts.py, models.py, loss_function.py, gtad_inference.py,
# gtad_postprocess.py, of the branch for THUMOS'14 and of that for ActivityNet
GTAD = {
    'head.embed.groups': 4,
    'head.embed.out_channels': 256,
    'head.map_branch.align.num_neighbors': 3,
    'head.map_branch.align.extension': 0.5,
    'head.map_branch.reduce.in_channels': 512,
    'head.map_branch.reduce.out_channels': 128,
    'head.positive_iou': 0.9,
    'head.positive_node': 0.5,
    'head.loss_reg.high': 0.7,
    'head.loss_reg.low': 0.3,
    'post.voting_iou': None,
}
GTAD_THUMOS = GTAD | {
    'head.map_branch.align.num_samples': (16, 16),
    'head.map_branch.convs.0.kernel_size': (3, 3),
    'head.map_branch.convs.1.kernel_size': (3, 3),
    'head.loss_cls.loss_weight': 10.0,
    'head.loss_reg.loss_weight': 1.0,
    'head.peak_ratio': None,
    'post.nms.sigma': 0.46,
    'post.nms_per_window': True,
    'post.max_per_video': 200,
}
GTAD_ACTIVITYNET = GTAD | {
    'head.num_classes': 1,
    'head.max_duration': 100,
    'head.map_branch.align.num_samples': (32, 4),
    'head.map_branch.convs.0.kernel_size': (1, 1),
    'head.map_branch.convs.1.kernel_size': (1, 1),
    'head.loss_cls.loss_weight': 1.0,
    'head.loss_cls.extra_count': 0.0,
    'head.loss_reg.loss_weight': 10.0,
    'head.best_iou': None,
    'head.peak_ratio': 0.5,
    'post.nms.sigma': 0.8,
    'test_evaluator.1.post_processor.nms.sigma': 0.8,
    'post.max_proposals': 100,
    'post.classifier.top_n': 2,
    'post.classifier.combine': 'multiply',
}

# github.com/xlliu7/TadTR and E2E-TAD: opts.py, configs, datasets/tad_eval.py, for THUMOS'14 only
TADTR = {
    'head.assigner.class_weight': 6.0,
    'head.assigner.l1_weight': 5.0,
    'head.assigner.iou_weight': 2.0,
    'head.loss_cls.loss_weight': 2.0,
    'head.loss_cls.alpha': 0.25,
    'head.l1_weight': 5.0,
    'head.actionness_weight': 4.0,
    'head.actionness.num_bins': 16,
    'head.actionness.scale': 1.5,
    'head.max_candidates': 100,
    'post.nms': None,
    'optim_wrapper.optimizer.lr': 1e-4,
    'optim_wrapper.optimizer.weight_decay': 1e-4,
    'optim_wrapper.clip_grad.max_norm': 0.1,
    'train_cfg.max_epochs': 16,
    'param_scheduler.0.milestones': [14],
}
TADTR_THUMOS = TADTR | {
    'head.num_classes': 20,
    'post.overlap_iou': 0.4,
    'post.max_per_video': None,
    'train_dataloader.batch_size': 4,
    'train_dataloader.dataset.sample_fps': 10,
    'train_dataloader.dataset.window': 256,
    'train_dataloader.dataset.overlap': 0.75,
    'test_dataloader.dataset.overlap': 0.25,
}
# Not of a release: no suppression, in both evaluators.
TADTR_ACTIVITYNET = TADTR | {'test_evaluator.1.post_processor.nms': None}

# github.com/TencentYoutuResearch/ActionDetection-AFSD: configs/thumos14.yaml, AFSD/thumos14
AFSD_THUMOS = {
    'head.num_classes': 20,
    'head.point_generator.strides': (4, 8, 16, 32, 64, 128),
    'head.loss_reg.loss_weight': 10.0,
    'head.refine_iou': 0.5,
    'post.score_thr': 0.01,
    'post.nms.sigma': 0.5,
    'post.max_per_video': None,
}

# github.com/sauradip/TAGS: config/anet.yaml, tags_lib/loss_tags.py; there is none for THUMOS'14
TAGS = {
    'head.mask_thrs': (0.0, 0.2, 0.4, 0.6, 0.8),
    'head.loss_mask.loss_weight': 0.4,
    'head.loss_dice.loss_weight': 0.6,
}

RELEASES = {
    'baseline/actionformer_features_activitynet.py': ACTIONFORMER_ACTIVITYNET_FEATURES,
    'baseline/actionformer_features_thumos.py': ACTIONFORMER_FEATURES,
    'baseline/actionformer_tsm18_thumos.py': ACTIONFORMER_THUMOS,
    'baseline/actionformer_tsm50_thumos.py': ACTIONFORMER_THUMOS,
    'baseline/actionformer_i3d_thumos.py': ACTIONFORMER_THUMOS,
    'baseline/actionformer_slowfast50_thumos.py': ACTIONFORMER_THUMOS,
    'baseline/actionformer_slowfast50_activitynet.py': ACTIONFORMER_ACTIVITYNET,
    'baseline/gtad_tsm18_thumos.py': GTAD_THUMOS,
    'baseline/gtad_tsm18_activitynet.py': GTAD_ACTIVITYNET,
    'baseline/tadtr_tsm18_thumos.py': TADTR_THUMOS,
    'baseline/tadtr_tsm18_activitynet.py': TADTR_ACTIVITYNET,
    'baseline/afsd_tsm18_thumos.py': AFSD_THUMOS,
    'baseline/tags_tsm18_thumos.py': TAGS,
}
