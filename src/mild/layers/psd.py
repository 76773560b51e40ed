"""Photoshop documents (https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/), through psd-tools' records.

The records are laid out here, not by psd-tools' drawing API: that one re-renders the merged picture with optional
dependencies and stores alpha as a mask. The merged picture is our own composition. What only MILD needs lies in a
plug-in resource, which other programs carry along or drop.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.layers import LayerStack, pack
from mild.layers.sheets import Group, Sheet, sheets_of
from mild.people.scene import Box
from mild.reading import Archive, guarded, open_regular

#: The first of the resources 4000..4999 that the format leaves to plug-ins.
RESOURCE = 4000
#: Photoshop's own limit for PSD; larger pictures need PSB.
LONGEST = 30_000
_LAYER = "layer:"
_NOWHERE = Box(0, 0, 0, 0)


def write(stack: LayerStack, out: IO[bytes], colour: pack.Colour) -> None:
    """Write the stack as PSD to an open binary file.

    Raises:
        MildError: when a side is longer than the format allows.
    """
    from psd_tools.constants import ColorMode, Compression, Resource
    from psd_tools.psd import PSD
    from psd_tools.psd.header import FileHeader
    from psd_tools.psd.image_data import ImageData
    from psd_tools.psd.image_resources import ImageResource, ImageResources
    from psd_tools.psd.layer_and_mask import (
        ChannelImageData,
        GlobalLayerMaskInfo,
        LayerAndMaskInformation,
        LayerInfo,
        LayerRecords,
    )

    height, width = stack.size
    check_size(stack.size)
    records: list[Any] = []
    channels: list[Any] = []
    pictures = [""] * len(stack.layers)
    _records(sheets_of(stack), records, channels, pictures)
    header = FileHeader(width=width, height=height, channels=3, depth=8, color_mode=ColorMode.RGB)
    merged = ImageData(compression=Compression.RLE)
    merged.set_data([plane.tobytes() for plane in np.moveaxis(stack.compose(), 2, 0)], header)
    resources = ImageResources.new()

    def resource(key: int, data: bytes) -> None:
        resources[key] = ImageResource(key=key, data=data)

    if colour.icc:
        resource(Resource.ICC_PROFILE, colour.icc)
    if colour.dpi:
        resource(Resource.RESOLUTION_INFO, _resolution(colour.dpi))
    if colour.xmp:
        resource(Resource.XMP_METADATA, colour.xmp)
    resource(RESOURCE, _side(stack, pictures, colour))
    information = LayerAndMaskInformation(
        layer_info=LayerInfo(len(records), LayerRecords(records), ChannelImageData(channels)),
        global_layer_mask_info=GlobalLayerMaskInfo(),
    )
    PSD(
        header=header, image_resources=resources, layer_and_mask_information=information, image_data=merged
    ).write(out)  # fmt: skip


def check_size(size: tuple[int, int]) -> None:
    """Refuse a photo of ``size`` that the format cannot hold.

    Raises:
        MildError: a side is too long.
    """
    if max(size) > LONGEST:
        raise MildError(f"A PSD holds at most {LONGEST} pixels a side, the photo has {max(size)}; write .ora.")


def read(path: Path) -> tuple[LayerStack, pack.Colour]:
    """The stack of a PSD that :func:`write` wrote and no other program rewrote without its resources."""
    from psd_tools.psd import PSD

    # psd-tools has no error type of its own.
    with guarded(path.name, "a PSD file"):
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > pack.LARGEST:
                raise ValueError("it is larger than a PSD can be")
            document = PSD.read(file)
        side = document.image_resources.get_data(RESOURCE, None)
        if side is None:
            raise MildError(f"{path.name} holds no layers of MILD: it comes from, or was saved by, another program.")
        info = document.layer_and_mask_information.layer_info
        by_position = list(zip(info.layer_records, info.channel_image_data, strict=True)) if info else []
        with Archive(io.BytesIO(bytes(side)), pack.LARGEST) as archive:

            def fetch(name: str, sizes: Collection[tuple[int, int]]) -> NDArray[np.uint8]:
                if name.startswith(_LAYER):
                    return _pixels(*by_position[int(name.removeprefix(_LAYER))], sizes)
                return pack.pixels_of(archive.read(name), sizes)

            return pack.unpack(archive.read(pack.DESCRIPTION), fetch, path.name)


def _side(stack: LayerStack, pictures: list[str], colour: pack.Colour) -> bytes:
    """The description, the masks and every picture that is not a layer of the document, as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, stem in enumerate(pack.stems(stack)):
            if not pictures[index]:
                pictures[index] = f"{stem}.png"
                archive.writestr(
                    zipfile.ZipInfo(pictures[index]), pack.png(stack.layers[index].rgba, colour.mark_alone)
                )
        # The original is the rearmost record.
        description = pack.describe(stack, f"{_LAYER}0", pictures, colour)
        for name, data in pack.masks(stack, description):
            archive.writestr(zipfile.ZipInfo(name), data)
        archive.writestr(zipfile.ZipInfo(pack.DESCRIPTION), pack.to_json(description), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _records(tree: tuple[Sheet | Group, ...], records: list[Any], channels: list[Any], pictures: list[str]) -> None:
    """Append the records of a tree, from the back to the front; a group is a divider, its children, its own record."""
    from psd_tools.constants import BlendMode, SectionDivider

    for node in tree:
        if isinstance(node, Group):
            _record("</Layer group>", True, records, channels, divider=SectionDivider.BOUNDING_SECTION_DIVIDER)
            _records(node.children, records, channels, pictures)
            _record(node.name, node.visible, records, channels, divider=SectionDivider.OPEN_FOLDER)
            records[-1].blend_mode = BlendMode.PASS_THROUGH
        else:
            if node.layer is not None:
                pictures[node.layer] = f"{_LAYER}{len(records)}"
            _record(node.name, node.visible, records, channels, box=node.box, rgba=node.rgba)


def _record(
    name: str,
    visible: bool,
    records: list[Any],
    channels: list[Any],
    *,
    box: Box = _NOWHERE,
    rgba: NDArray[np.uint8] | None = None,
    divider: Any = None,
) -> None:
    """Append one layer record and its four channels (alpha first, as the format's ids -1, 0, 1, 2)."""
    from psd_tools.constants import BlendMode, ChannelID, Compression, Tag
    from psd_tools.psd.layer_and_mask import (
        ChannelData,
        ChannelDataList,
        ChannelInfo,
        LayerFlags,
        LayerRecord,
    )
    from psd_tools.psd.tagged_blocks import TaggedBlocks

    blocks = TaggedBlocks()
    blocks.set_data(Tag.UNICODE_LAYER_NAME, name)
    if divider is not None:
        blocks.set_data(Tag.SECTION_DIVIDER_SETTING, kind=divider)
    planes = ChannelDataList()
    for index in (3, 0, 1, 2):
        plane = ChannelData(compression=Compression.RLE if box.area else Compression.RAW)
        if rgba is not None and box.area:
            plane.set_data(np.ascontiguousarray(rgba[..., index]).tobytes(), box.width, box.height, 8)
        planes.append(plane)
    order = (ChannelID.TRANSPARENCY_MASK, ChannelID.CHANNEL_0, ChannelID.CHANNEL_1, ChannelID.CHANNEL_2)
    records.append(
        LayerRecord(
            top=box.y0,
            left=box.x0,
            bottom=box.y1,
            right=box.x1,
            channel_info=[
                ChannelInfo(id=id, length=2 + len(plane.data)) for id, plane in zip(order, planes, strict=True)
            ],
            blend_mode=BlendMode.NORMAL,
            flags=LayerFlags(visible=visible),
            # The old name field has one byte per letter; readers prefer the Unicode block.
            name=name.encode("ascii", "replace").decode()[:255],
            tagged_blocks=blocks,
        )
    )
    channels.append(planes)


def _pixels(record: Any, planes: Any, sizes: Collection[tuple[int, int]]) -> NDArray[np.uint8]:
    """A raster layer's RGBA ``[h, w, 4]``, of one of the sizes."""
    from psd_tools.constants import Compression

    shape = (record.height, record.width)
    if shape not in sizes:
        raise ValueError(f"a layer is {shape[1]} x {shape[0]}, which does not fit")
    if any(plane.compression not in (Compression.RAW, Compression.RLE) for plane in planes):
        raise ValueError("a layer is packed in a way that is not used here")
    found = {
        int(info.id): np.frombuffer(plane.get_data(record.width, record.height, 8), np.uint8).reshape(shape)
        for info, plane in zip(record.channel_info, planes, strict=True)
    }
    return np.dstack([found[0], found[1], found[2], found[-1]])


def _resolution(dpi: tuple[float, float]) -> bytes:
    """Resource 1005: both resolutions as 16.16 fixed point per inch, shown in inches."""
    x, y = (round(value * 65536).to_bytes(4, "big") for value in dpi)
    unit = (1).to_bytes(2, "big") * 2
    return x + unit + y + unit
