"""Time lines for MMEngine's visualisation backends."""

from __future__ import annotations

import numpy as np
import torch
from mmaction.registry import VISUALIZERS
from mmengine.dist import master_only
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import TADDataSample


def _array(value: torch.Tensor | np.ndarray) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _to_detections(instances: InstanceData) -> Detections:
    return Detections(
        _array(instances.segments).astype(np.float64).reshape(-1, 2),
        _array(instances.scores).astype(np.float64),
        _array(instances.labels).astype(np.int64),
    )


@VISUALIZERS.register_module()
class TADVisualizer(Visualizer):
    """MMEngine's visualiser that draws a video's detections on a time line.

    Class names come from ``dataset_meta['classes']``, which MMEngine's Runner sets.
    """

    @master_only
    def add_datasample(
        self,
        name: str,
        data_sample: TADDataSample,
        draw_gt: bool = True,
        score_thr: float = 0.1,
        max_detections: int = 200,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
    ) -> None:
        """Draw a data sample's detections and send the picture to the backends.

        Args:
            name: Name of the picture in the backends.
            data_sample: With ``pred_instances`` in seconds and ``duration``.
            draw_gt: Whether to draw ``gt_instances`` too, where there are any.
            score_thr: Detections that score lower are not drawn.
            max_detections: At most so many, the best first.
            show: Whether to open a window.
            wait_time: Seconds the window stays; 0 means until it is closed.
            out_file: Where to write the picture, instead of to the backends.
            step: Global step of the picture in the backends.

        Raises:
            ValueError: If the sample has no detections, or no class names are known.
        """
        from .timeline import draw_timeline, figure_to_image, save_figure  # late: matplotlib

        if 'pred_instances' not in data_sample:
            raise ValueError('add_datasample needs a data sample with pred_instances')
        classes = (self.dataset_meta or {}).get('classes')
        if classes is None:
            raise ValueError(
                'TADVisualizer needs class names; set visualizer.dataset_meta = dict(classes=...)'
            )
        segments, labels = np.zeros((0, 2)), np.zeros(0, dtype=np.int64)
        if draw_gt and 'gt_instances' in data_sample:
            segments = _array(data_sample.gt_instances.segments)
            labels = _array(data_sample.gt_instances.labels)
        figure = draw_timeline(
            segments,
            labels,
            {'detections': _to_detections(data_sample.pred_instances)},
            classes,
            data_sample.duration,
            title=data_sample.get('video_id'),
            score_thr=score_thr,
            max_detections=max_detections,
        )
        image = figure_to_image(figure)
        self.set_image(image)
        if show:
            self.show(image, win_name=name, wait_time=wait_time)
        if out_file is not None:
            save_figure(figure, out_file)
        else:
            self.add_image(name, image, step)
