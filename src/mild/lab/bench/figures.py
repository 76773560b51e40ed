"""The figures by name: what a table calls them, which way is better, how many digits; and which tables they fill."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One column.

    Attributes:
        key: as in the records.
        title: of the column.
        better: ``up``, ``down``, ``one`` (near 1) or ``none``.
        digits: shown after the point.
        percent: shown times a hundred.
    """

    key: str
    title: str
    better: str = "up"
    digits: int = 3
    percent: bool = False

    def shown(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.percent else f"{value:.{self.digits}f}"

    @property
    def sign(self) -> str:
        return {"up": "↑", "down": "↓", "one": "→1", "none": ""}[self.better]


def _both(region: str) -> tuple[Figure, ...]:
    where = region.removeprefix("raw.")
    return (
        Figure(f"{region}.psnr", f"PSNR {where}, dB", "up", 2),
        Figure(f"{region}.ssim", f"SSIM {where}"),
    )


#: Table title -> its columns. Columns without a value anywhere are not shown.
TABLES: dict[str, tuple[Figure, ...]] = {
    "The hole": (
        *_both("hole"),
        Figure("window.ms_ssim", "MS-SSIM window"),
        Figure("window.haarpsi", "HaarPSI window"),
        Figure("window.gmsd", "GMSD window", "down"),
        Figure("hole.flip", "FLIP hole", "down"),
        Figure("hole.sharpness", "sharpness ratio", "one", 2),
        Figure("seam", "seam ratio", "one", 2),
        Figure("ghost", "old outline", "down", 2),
        Figure("redetected", "person found in the hole", "down", percent=True),
        Figure("leak.total", "leakage error", "down"),
    ),
    "The whole photo, composited": (
        *_both("whole"),
        Figure("whole.ms_ssim", "MS-SSIM"),
        Figure("whole.haarpsi", "HaarPSI"),
        Figure("whole.gmsd", "GMSD", "down", 4),
        Figure("whole.flip", "FLIP", "down", 4),
        *_both("kept"),
        *_both("completed"),
    ),
    "Raw output: what the method did outside the hole": (
        *(f for region in ("raw.whole", "raw.ring", "raw.background", "raw.kept") for f in _both(region)),
        Figure("identity.outside", "pixels outside the hole left alone", "up", percent=True),
        Figure("identity.kept", "pixels of people who stay left alone", "up", percent=True),
    ),
    "Where the difference lies: its strength in the hole by size of detail, levels": (
        Figure("band.1", "finer than 3 px", "down", 1),
        Figure("band.2", "3 to 6 px", "down", 1),
        Figure("band.3", "6 to 12 px", "down", 1),
        Figure("band.4", "12 to 25 px", "down", 1),
        Figure("band.5", "coarser", "down", 1),
    ),
    "Layers": (
        Figure("layers.recomposition_psnr", "recomposition PSNR, dB", "up", 2),
        Figure("layers.alpha_iou", "alpha IoU"),
        Figure("layers.hidden_iou", "alpha IoU in the hole"),
        Figure("layers.alpha_sad", "alpha SAD, thousands", "down"),
        Figure("layers.left", "hidden part left empty", "down", percent=True),
        Figure("layers.invented", "made where nothing is, in parts of it", "down", 2),
        Figure("layers.severe.hidden_iou", "IoU, 40 % hidden and more"),
        Figure("layers.severe.left", "left empty, 40 % and more", "down", percent=True),
        Figure("layers.severe.invented", "made where nothing is, 40 % and more", "down", 2),
        Figure("layers.completion_psnr", "completed colour PSNR, dB", "up", 2),
        Figure("layers.completion_ssim", "completed colour SSIM"),
        Figure("layers.face_psnr", "hidden face PSNR, dB", "up", 2),
        Figure("layers.background_person", "person in the background layer", "down", percent=True),
    ),
    "Leakage and attention": (
        Figure("leak.total", "leakage error", "down"),
        Figure("leak.colour", "of colours", "down"),
        Figure("leak.edges", "of edges", "down"),
        Figure("leak.kept", "from what stays visible", "down"),
        Figure("cag", "CAG", "up"),
        Figure("cag_area", "CAG_area", "up", 2),
    ),
}

#: The figures that bins, masks and comparisons speak of.
HEADLINES: tuple[Figure, ...] = (
    Figure("hole.psnr", "PSNR hole, dB", "up", 2),
    Figure("hole.ssim", "SSIM hole"),
    Figure("window.haarpsi", "HaarPSI window"),
    Figure("hole.flip", "FLIP hole", "down"),
    Figure("leak.total", "leakage error", "down"),
    Figure("seam", "seam ratio", "one", 2),
    Figure("redetected", "person found in the hole", "down", percent=True),
    Figure("layers.hidden_iou", "alpha IoU in the hole"),
    Figure("layers.completion_psnr", "completed colour PSNR, dB", "up", 2),
)

#: Columns of learned features are made from what the records hold; these are their names without weights.
UNAVAILABLE: dict[str, str] = {
    "LPIPS": "lpips",
    "DINO similarity and ReMOVE": "dino",
    "CLIP similarity and CMMD": "clip",
    "FID": "inception",
}


def learned(key: str) -> Figure:
    """The column of a feature network's figure: its name is in the key."""
    better = "down" if "lpips" in key or key.startswith(("fid", "cmmd")) else "up"
    return Figure(key, key, better)


def orientation(key: str) -> str:
    """Which way a figure is better."""
    for table in TABLES.values():
        for figure in table:
            if figure.key == key:
                return figure.better
    return learned(key).better
