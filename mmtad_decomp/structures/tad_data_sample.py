"""The data sample that travels with every window of a video."""

from mmengine.structures import BaseDataElement, InstanceData


def _instances(field: str) -> property:
    """A property that holds :class:`InstanceData` in a field of its data element.

    ``torch.compile`` traces it; at an ``operator.attrgetter`` it would cut the graph.
    """

    def get(sample: BaseDataElement) -> InstanceData:
        return getattr(sample, field)

    def put(sample: BaseDataElement, value: InstanceData) -> None:
        sample.set_field(value, field, dtype=InstanceData)

    return property(get, put, lambda sample: delattr(sample, field))


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

    gt_instances = _instances('_gt_instances')
    pred_instances = _instances('_pred_instances')
