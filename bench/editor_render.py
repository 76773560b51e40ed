"""Render a layered file with an image editor, an independent reader: ``python bench/editor_render.py in.psd out.png``.

PSD is opened by GIMP and by Krita, OpenRaster by Krita (Debian's GIMP 2.10 has lost its OpenRaster plug-in). The editor
draws the visible layers itself: the merged picture stored in the file is made black first, so that it cannot be it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def available(editor: str) -> bool:
    """Is this editor (``gimp`` or ``krita``) here, with what it needs to run without a screen?"""
    return shutil.which(editor) is not None and (editor == "gimp" or shutil.which("xvfb-run") is not None)


def render(editor: str, source: Path, target: Path) -> None:
    """Open ``source`` in ``gimp`` or ``krita`` without a window and write what it shows to ``target`` (PNG)."""
    with tempfile.TemporaryDirectory() as scratch:
        blind = Path(scratch) / source.name
        blacken(source, blind)
        command = _gimp(blind, target) if editor == "gimp" else _krita(blind, target)
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if not target.exists():
        raise SystemExit(f"{editor} wrote nothing for {source}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def blacken(source: Path, target: Path) -> None:
    """Copy a layered file with a black merged picture."""
    if source.suffix == ".ora":
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for entry in old.infolist():
                data = old.read(entry)
                if entry.filename in ("mergedimage.png", "Thumbnails/thumbnail.png"):
                    data = _black(data)
                new.writestr(entry, data)
        return
    from psd_tools.psd import PSD

    with source.open("rb") as file:
        document = PSD.read(file)
    header = document.header
    document.image_data.set_data([bytes(header.width * header.height)] * header.channels, header)
    with target.open("wb") as file:
        document.write(file)


def _black(png: bytes) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", Image.open(io.BytesIO(png)).size).save(out, "png")
    return out.getvalue()


def _gimp(source: Path, target: Path) -> list[str]:
    a, b = (str(path.resolve()).replace("\\", "\\\\").replace('"', '\\"') for path in (source, target))
    script = (
        f'(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{a}" "{a}")))'
        "        (layer (car (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))))"
        f'  (gimp-file-save RUN-NONINTERACTIVE image layer "{b}" "{b}"))'
    )
    return ["gimp", "-n", "-i", "-d", "-f", "-b", script, "-b", "(gimp-quit 0)"]


def _krita(source: Path, target: Path) -> list[str]:
    # Krita asks for an X server even in batch mode.
    return ["xvfb-run", "-a", "krita", "--export", "--export-filename", str(target.resolve()), str(source.resolve())]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    paths = Path(sys.argv[1]), Path(sys.argv[2])
    editor = "gimp" if paths[0].suffix == ".psd" and available("gimp") else "krita"
    if not available(editor):
        raise SystemExit(f"{editor} (and, for Krita, xvfb) is not installed")
    render(editor, *paths)
