"""The data sample that travels with every window of a video."""

from mmengine.structures import BaseDataElement, InstanceData


class TADDataSample(BaseDataElement):
    """Annotations and detections of one window.

    Fields (segments are in seconds from the start of the whole video):
        gt_instances: ``segments`` (K, 2) float64 and ``labels`` (K,) int64.
        pred_instances: ``segments`` (M, 2), ``scores`` (M,) and ``labels`` (M,).

    Meta information set by :class:`~mmtad_decomp.datasets.TADDataset`:
        video_id: Key of the video in the annotation file.
        window: ``(start, stop)`` of the window in sampled frames (or feature steps).
        num_steps: Valid steps of the window's input, before padding.
        time_grid: :class:`~mmtad_decomp.structures.TimeGrid` of the input steps.
        duration: Length of the whole video in seconds.
    """

    @property
    def gt_instances(self) -> InstanceData:
        return self._gt_instances

    @gt_instances.setter
    def gt_instances(self, value: InstanceData) -> None:
        self.set_field(value, '_gt_instances', dtype=InstanceData)

    @gt_instances.deleter
    def gt_instances(self) -> None:
        del self._gt_instances

    @property
    def pred_instances(self) -> InstanceData:
        return self._pred_instances

    @pred_instances.setter
    def pred_instances(self, value: InstanceData) -> None:
        self.set_field(value, '_pred_instances', dtype=InstanceData)

    @pred_instances.deleter
    def pred_instances(self) -> None:
        del self._pred_instances
