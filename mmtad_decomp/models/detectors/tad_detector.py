"""A temporal action detector: backbone, neck and head."""

from __future__ import annotations

from mmaction.registry import MODELS
from mmengine.dist import get_world_size
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmtad_decomp.structures import TADDataSample, TimeGrid
from mmtad_decomp.utils.compilation import outside_of_graphs


@MODELS.register_module()
class TADDetector(BaseModel):
    """Detect action segments in windows of frames or in feature sequences.

    The head works in feature steps; this class is where they meet seconds. A head with
    ``num_classes=1`` is class-agnostic: it learns all instances as one class, whatever their
    labels, and an external classifier names what it finds. An instance of several classes is one.

    Args:
        head: Config of a :class:`~mmtad_decomp.models.heads.TemporalHead`.
        backbone: Config of an encoder from frames to ``(N, C, T')``, whose ``temporal_stride`` and
            ``temporal_offset`` (default: the middle of what a step strides over) say where its
            steps lie; None where the input is features.
        neck: Config of a projection ``(N, C, T')`` to ``(N, D, T')``; None passes them on.
        data_preprocessor: Config of the data preprocessor.

    Attributes:
        feature_masks: Passes on the masks ``(N, T')`` of the features. It computes nothing: it is
            the name by which a distiller's recorder reads them.

    Raises:
        ValueError: If the backbone cannot read what the data preprocessor makes.
    """

    def __init__(
        self,
        head: dict,
        backbone: dict | None = None,
        neck: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = None if backbone is None else MODELS.build(backbone)
        self.neck = None if neck is None else MODELS.build(neck)
        self.feature_masks = nn.Identity()
        self.head = MODELS.build(head)
        self.feature_stride = getattr(self.backbone, 'temporal_stride', 1)
        self.feature_offset = getattr(self.backbone, 'temporal_offset', None)
        self._check_input()

    def _check_input(self) -> None:
        """Let the backbone refuse an input of the wrong kind before training starts."""
        if self.backbone is not None and hasattr(self.backbone, 'check_input'):
            modality = getattr(self.data_preprocessor, 'modality', None)
            self.backbone.check_input(
                channels=getattr(modality, 'channels', None),
                steps=getattr(self.data_preprocessor, 'pad_to', None),
            )

    def forward(
        self,
        inputs: Tensor,
        masks: Tensor,
        data_samples: list[TADDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[TADDataSample] | tuple:
        """Run the detector.

        Args:
            inputs: ``(N, T, C, H, W)`` frames or ``(N, C, T)`` features.
            masks: ``(N, T)`` bool, True at valid steps.
            data_samples: One for each window; needed by ``'loss'`` and ``'predict'``.
            mode: ``'loss'`` returns a dict of losses, ``'predict'`` the data samples with
                ``pred_instances``, ``'tensor'`` the head's raw outputs.
        """
        if mode == 'tensor':
            return self.detect(inputs, masks)
        if mode not in ('loss', 'predict'):
            raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")
        if data_samples is None:
            raise ValueError(f'mode {mode!r} needs data_samples, one for each window')
        if mode == 'loss':
            return self.loss(inputs, masks, data_samples)
        return self.predict(inputs, masks, data_samples)

    def encode(self, inputs: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Backbone features ``(N, C, T')`` and their masks ``(N, T')``."""
        feats = inputs
        if self.backbone is not None:
            feats, masks = self.backbone(inputs, masks)
        return feats, self.feature_masks(masks)

    def head_input(self, feats: Tensor, masks: Tensor) -> Tensor:
        """Input of the head, ``(N, D, T')``, from features ``(N, C, T')`` of the backbone."""
        return feats if self.neck is None else self.neck(feats, masks)

    def detect(self, inputs: Tensor, masks: Tensor) -> tuple:
        """The head's raw outputs."""
        feats, masks = self.encode(inputs, masks)
        return self.head(self.head_input(feats, masks), masks)

    def loss(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> dict[str, Tensor]:
        """Losses of the head against the ground truth."""
        losses = self.extra_losses(inputs, masks, data_samples)
        outputs = self.detect(inputs, masks)
        return {**losses, **self.head.loss_by_feat(outputs, self.targets(data_samples))}

    def extra_losses(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> dict[str, Tensor]:
        """Losses of the extra batch that the head may ask for, such as AFSD's cut windows.

        It comes before the pass over the windows themselves, so that a recorder of a distiller,
        which reads the last call of a module, sees the latter. Processes of a distributed training
        gather parameters and statistics together as they run, so one whose batch is empty runs on
        a window that stands in for it.
        """
        extra = self.head.extra_batch(inputs, masks, data_samples)
        if extra is None:
            return {}
        outputs = None
        if extra.data_samples:
            outputs = self.detect(extra.inputs, extra.masks)
        elif get_world_size() > 1:
            outputs = self.detect(inputs[:1], masks[:1])
        return self.head.extra_loss(outputs, self.targets(extra.data_samples))

    def predict(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> list[TADDataSample]:
        """Candidate segments of every window, in seconds of its video, before any NMS."""
        candidates = self.head.predict_by_feat(self.detect(inputs, masks))
        for sample, instances in zip(data_samples, self.in_seconds(candidates, data_samples)):
            sample.pred_instances = instances
        return data_samples

    def in_seconds(
        self, candidates: list[InstanceData], data_samples: list[TADDataSample]
    ) -> list[InstanceData]:
        """Candidates of a head, from feature steps to seconds of the video.

        Args:
            candidates: Result of a head's ``predict_by_feat``.
            data_samples: The windows.
        """
        return [
            InstanceData(
                segments=self.grid(sample).to_seconds(found.segments.double()),
                scores=found.scores,
                labels=found.labels,
            )
            for sample, found in zip(data_samples, candidates)
        ]

    @outside_of_graphs
    def targets(self, data_samples: list[TADDataSample]) -> list[InstanceData]:
        """Ground truth of every window in feature steps."""
        agnostic = getattr(self.head, 'num_classes', None) == 1
        targets = []
        for sample in data_samples:
            instances = sample.gt_instances
            segments, labels = instances.segments, instances.labels
            if agnostic:
                same = (segments[:, None] == segments).all(dim=2)  # (G, G)
                segments = segments[~same.tril(diagonal=-1).any(dim=1)]  # each once
                labels = labels.new_zeros(len(segments))
            steps = self.grid(sample).to_steps(segments.double())
            targets.append(InstanceData(segments=steps.float(), labels=labels))
        return targets

    def grid(self, sample: TADDataSample) -> TimeGrid:
        """Where the feature steps of a window lie in its video."""
        return sample.time_grid.coarsen(self.feature_stride, self.feature_offset)
