"""How fast a run is: rows per second, achieved FLOP/s against what the device can do, time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

#: Dense bf16 peak by the makers' data sheets, FLOP/s; the first name that the device's name holds.
PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12,
    "RTX 4090": 165e12, "RTX 3090": 71e12, "V100": 125e12, "T4": 65e12,
}  # fmt: skip


def peak(device: torch.device, bf16: bool) -> tuple[float, str]:
    """FLOP/s that the device could reach, and how that is known: its data sheet, or a matrix product timed here."""
    if device.type == "cuda" and bf16:
        name = torch.cuda.get_device_name(device)
        for known, value in PEAKS.items():
            if known in name:
                return value, f"{known}, data sheet"
    size = 4096 if device.type == "cuda" else 768
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    best = 0.0
    for _ in range(4):
        _wait(device)
        begun = time.perf_counter()
        a @ a
        _wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - begun))
    return best, f"product of {size}x{size} matrices, measured"


class Meter:
    """Counts rows, seconds and FLOPs. FLOPs of a batch shape are counted once, by torch's own counter.

    The counter takes operations apart, which rounds differently: what was counted is part of a checkpoint, so that a
    resumed run counts at the same steps as one that was never stopped.
    """

    def __init__(self, device: torch.device, bf16: bool) -> None:
        self.device = device
        self.peak, self.peak_source = peak(device, bf16)
        self.rows, self.seconds, self.flops = 0, 0.0, 0.0
        self._by_shape: dict[tuple[int, ...], float] = {}
        self._since = (0, 0.0, 0.0, 0.0)
        self._waited, self._counted_rows, self._busy = 0.0, 0, 0.0
        self._mark = time.perf_counter()

    def resume(self, totals: dict[str, Any]) -> None:
        """Go on counting from a checkpoint's totals."""
        self.rows, self.seconds = int(totals["rows"]), float(totals["seconds"])
        self._by_shape = {tuple(shape): float(flops) for shape, flops in totals["flops"]}
        self._since = (self.rows, self.seconds, 0.0, 0.0)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begun

    @contextmanager
    def counting(self, shape: tuple[int, ...], rows: int) -> Iterator[None]:
        """Around the forward and backward of ``rows`` rows of a batch of this shape."""
        if shape in self._by_shape:
            yield
        else:
            counter = FlopCounterMode(display=False)
            with counter:
                yield
            self._by_shape[shape] = float(counter.get_total_flops())
        self.flops += self._by_shape[shape]
        self.rows += rows

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Saving and judging are not training."""
        self._tick()
        yield
        self._mark = time.perf_counter()

    def totals(self) -> dict[str, Any]:
        self._tick()
        flops = [[list(shape), value] for shape, value in self._by_shape.items()]
        return {"rows": self.rows, "seconds": round(self.seconds, 2), "flops": flops}

    def figures(self) -> dict[str, Any]:
        """Since the last call: rows per second, FLOP/s of this process, its share of the peak, share of waiting."""
        self._tick()
        rows, seconds, flops, waited = self._since
        spent = max(1e-9, self.seconds - seconds)
        reached = (self.flops - flops) / spent
        self._since = (self.rows, self.seconds, self.flops, self._waited)
        return {
            "samples": self.rows,
            "seconds": round(self.seconds, 1),
            "rows_per_second": round((self.rows - rows) / spent, 2),
            "gflops": round(reached / 1e9, 2),
            "of_peak": round(reached / self.peak, 4),
            "waiting": round((self._waited - waited) / spent, 4),
        }

    def _tick(self) -> None:
        _wait(self.device)
        now = time.perf_counter()
        self.seconds, self._mark = self.seconds + now - self._mark, now


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
