"""The processes that `torchrun` starts, one per GPU; alone, all of this does nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Processes(NamedTuple):
    """Who we are among them."""

    rank: int
    world: int
    device: Any

    @property
    def leads(self) -> bool:
        """Only the first evaluates, writes and speaks."""
        return self.rank == 0

    def gather(self, rows: Any) -> Any:
        """(b, ..) of each process -> (world * b, ..), in order of rank; gradients flow back to every owner."""
        if self.world == 1:
            return rows
        import torch
        from torch.distributed.nn.functional import all_gather

        if rows.requires_grad:
            return torch.cat(all_gather(rows))
        received = [torch.empty_like(rows) for _ in range(self.world)]
        torch.distributed.all_gather(received, rows.contiguous())
        return torch.cat(received)

    def mean(self, value: float) -> float:
        """Over all processes."""
        if self.world == 1:
            return value
        import torch

        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return float(total.item()) / self.world

    def agreed(self, value: Any) -> Any:
        """The first process's value, everywhere."""
        if self.world == 1:
            return value
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def parallel(self, module: Any) -> Any:
        """The module, with gradients averaged over all processes."""
        if self.world == 1:
            return module
        import torch

        devices = [self.device.index] if self.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(module, device_ids=devices)


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the others, if `torchrun` started us, and leave them at the end."""
    import torch

    world, rank, local = (int(os.environ.get(name, default)) for name, default in _VARIABLES)
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    if world == 1:
        yield Processes(0, 1, device)
        return
    torch.distributed.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield Processes(rank, world, device)
    finally:
        torch.distributed.destroy_process_group()


_VARIABLES = (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
