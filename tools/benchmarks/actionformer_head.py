"""Time ActionFormer on features: this package's head beside the official package, in turns.

    python tools/benchmarks/actionformer_head.py --json docs/en/benchmarks/actionformer_head.json

Both have the same weights and losses, which is checked first. A training step is the forward pass,
the losses and the backward pass of a whole batch; testing is the forward pass of one sample.
"Operators" are those of a call that torch runs, views left out: about as many kernels as a GPU has
to launch. The sizes are those of the releases for THUMOS'14 (I3D) and ActivityNet-1.3 (TSP).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from torch import Tensor, nn

PASSES = ('training step', 'testing')


class Case(NamedTuple):
    """A size of the networks and of a batch.

    Attributes:
        name: For the table.
        windows: Samples in a batch.
        official: Sizes for :func:`official_actionformer`.
        head: Options of this package's head.
    """

    name: str
    windows: int
    official: dict
    head: dict


def cases() -> list[Case]:
    """THUMOS'14 and ActivityNet-1.3 as in the releases."""
    windows = [7, 7, 7, 7, 7]
    return [
        Case(
            "THUMOS'14",
            2,
            dict(embd_dim=512, input_dim=2048, max_seq_len=2304, num_classes=20, window=19),
            dict(num_classes=20, in_channels=2048),
        ),
        Case(
            'ActivityNet-1.3',
            16,
            dict(
                embd_dim=256,
                input_dim=512,
                max_seq_len=192,
                num_classes=1,
                window=[*windows, -1],
                use_abs_pe=True,
            ),
            dict(
                num_classes=1,
                in_channels=512,
                max_seq_len=192,
                encoder=dict(embed_dims=256, window_size=[*windows, None], position_length=192),
            ),
        ),
    ]


def same_networks(case: Case, device: str) -> tuple[nn.Module, nn.Module]:
    """The official network, and this package's head with its weights, both without dropped paths.

    Dropped paths are drawn; without them both compute the same.
    """
    from mmaction.registry import MODELS

    from tools.benchmarks.actionformer_peer import official_actionformer, perturb
    from tools.model_converters.actionformer import convert_state_dict

    official = official_actionformer(**case.official)
    perturb(official)
    head = MODELS.build(dict(type='ActionFormerHead', offset_activation='relu', **case.head))
    head.load_state_dict(convert_state_dict(official.state_dict(), prefix='', loss_norm=100))
    for network in (official, head):
        network.to(device).train()
        for module in network.modules():
            if hasattr(module, 'drop_prob'):
                module.drop_prob = 0.0
    return official, head


def videos_of(case: Case, device: str) -> list[dict]:
    """A batch of full windows, each with 20 segments of random length, in feature steps."""
    import torch

    generator = torch.Generator().manual_seed(0)
    steps, channels = case.official['max_seq_len'], case.official['input_dim']
    videos = []
    for _ in range(case.windows):
        places = torch.rand(20, generator=generator) * steps * 0.9
        lengths = 2 ** (torch.rand(20, generator=generator) * 6)
        segments = torch.stack((places, (places + lengths).clamp(max=steps)), dim=1)
        labels = torch.randint(case.official['num_classes'], (20,), generator=generator)
        feats = torch.randn(channels, steps, generator=generator)
        video = dict(feats=feats, segments=segments, labels=labels)
        videos.append({name: value.to(device) for name, value in video.items()})
    return videos


def passes_of(case: Case, device: str) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """Calls of both networks by pass; each returns what has to be equal.

    Raises:
        AssertionError: If the losses or the class logits differ by more than 0.1 %.
    """
    import torch
    from mmengine.structures import InstanceData

    torch.manual_seed(0)
    official, head = same_networks(case, device)
    videos = videos_of(case, device)
    feats = torch.stack([video['feats'] for video in videos])
    masks = torch.ones(feats[:, 0].shape, dtype=torch.bool, device=device)
    gt = [InstanceData(segments=v['segments'], labels=v['labels']) for v in videos]

    def trained(network: nn.Module, losses: Callable[[], Tensor]) -> Tensor:
        network.zero_grad(set_to_none=True)
        loss = losses()
        loss.backward()
        return loss

    def tested_officially() -> Tensor:
        levels, level_masks = official.neck(*official.backbone(feats[:1], masks[:1, None]))
        official.reg_head(levels, level_masks)
        return torch.cat(official.cls_head(levels, level_masks), dim=2)

    def tested() -> Tensor:
        return torch.cat(head(feats[:1], masks[:1]).cls_logits, dim=2)

    training, testing = PASSES
    calls = {
        training: dict(
            official=lambda: trained(official, lambda: official(videos)['final_loss']),
            ours=lambda: trained(
                head, lambda: sum(head.loss_by_feat(head(feats, masks), gt).values())
            ),
        ),
        testing: dict(
            official=torch.no_grad()(tested_officially),
            ours=torch.no_grad()(tested),
        ),
    }
    for both in calls.values():
        torch.testing.assert_close(both['ours'](), both['official'](), rtol=1e-3, atol=1e-3)
    return calls


def count_operators(call: Callable[[], object]) -> int:
    """Operators that a call runs on the CPU, without views."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += not function.is_view
            return function(*args, **(kwargs or {}))

    with Counter() as counter:
        call()
    return counter.count


def rows(device: str, rounds: int) -> Iterator[dict]:
    """A row for each case and pass, as they are measured."""
    from tools.benchmarks.ops import interleaved

    for case in cases():
        for name, calls in passes_of(case, device).items():
            times = interleaved(calls, device, rounds)
            row = dict(size=case.name, windows=case.windows if name == PASSES[0] else 1)
            row.update(steps=case.official['max_seq_len'], call=name)
            for side, call in calls.items():
                row[side] = round(times[side] / 1e3, 4)
                if device == 'cpu':
                    row[f'{side}_operators'] = count_operators(call)
            row['ratio'] = round(times['official'] / times['ours'], 2)
            yield row


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', type=Path, required=True, help='where the rows go')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--threads', type=int, default=1, help='with one, its processor time is measured'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    args = parser.parse_args(argv)

    import torch
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import write_json
    from tools.benchmarks.ops import describe_machine

    torch.set_num_threads(args.threads)
    init_default_scope('mmaction')
    machine, measured = describe_machine(args.device), []
    print(machine)
    for row in rows(args.device, args.rounds):
        measured.append(row)
        print(row, flush=True)
        write_json(args.json, dict(machine=machine, rows=measured))


if __name__ == '__main__':
    sys.exit(run_main(main))
