"""Making an ONNX file refuse lengths that it is not for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .deployable import InputDims

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def guard_length(graph: GraphProto, dims: InputDims) -> None:
    """Make a run fail whose masks have a length that the graph is not for.

    ONNX has no assertion. A ``Gather`` from one value fails by its index, which is 0 for the
    lengths that the graph takes, and the message of a runtime holds the name of the node.

    Args:
        graph: Has the input ``masks``, ``(N, T)`` bool; changed in place.
        dims: Lengths that it takes.
    """
    from onnx import helper, numpy_helper

    for node in graph.node:
        node.input[:] = ['masks_of_right_length' if x == 'masks' else x for x in node.input]
    constants = dict(
        right_length=np.array([True]),
        length_multiple=np.array([dims.multiple]),
        length_limit=np.array([dims.longest + 1]),
    )
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    rules = dict(
        multiple=f'length_must_be_a_multiple_of_{dims.multiple}',
        longest=f'length_must_be_at_most_{dims.longest}',
    )
    make = helper.make_node
    nodes: list[NodeProto] = [
        make('Shape', ['masks'], ['masks_length'], start=1, end=2),
        make('Mod', ['masks_length', 'length_multiple'], ['length_rest']),
        make('Div', ['masks_length', 'length_limit'], ['length_excess']),
        make('Gather', ['right_length', 'length_rest'], ['is_multiple'], rules['multiple']),
        make('Gather', ['right_length', 'length_excess'], ['is_short'], rules['longest']),
        make('And', ['is_multiple', 'is_short'], ['is_right_length']),
        make('And', ['masks', 'is_right_length'], ['masks_of_right_length']),
    ]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
