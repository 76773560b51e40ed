"""Every place in a photo's metadata where a public specification, or a program that is known for it, puts a picture.

EXIF 3.0 (CIPA DC-008), TIFF 6.0 and Adobe's technical notes, DNG 1.7, XMP (ISO 16684-1) and its namespaces, Photoshop's
file format, IPTC-IIM 4.2, ICC.1:2022, JFIF 1.02, CIPA's MPF and FlashPix segments, JUMBF, PNG (third edition), WebP,
HEIF, GIF 89a. Each function gives ``name -> bytes`` of its kind for one secret.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib

from hiding import (
    HEIGHT,
    WIDTH,
    Secret,
    Tiff,
    chunk,
    encoded,
    jpeg,
    packet,
    png,
    resource,
    scene,
    segment,
    webp,
    with_private,
)

_FIRST, _EXIF, _GPS, _INTEROP = "first", "exif", "gps", "interop"


def block(order: str = "<", **parts: dict[int, tuple[int, bytes]]) -> bytes:
    """An EXIF block of these directories; ``thumbnail`` is the second one."""
    tiff = Tiff(order)
    first = {0x010F: (2, b"ACME\0"), **parts.get(_FIRST, {})}
    proper = {0x9000: (7, b"0300"), **parts.get(_EXIF, {})}
    if _INTEROP in parts:
        proper[0xA005] = 4, tiff.long(tiff.ifd({1: (2, b"R98\0"), **parts[_INTEROP]}))
    first[0x8769] = 4, tiff.long(tiff.ifd(proper))
    if _GPS in parts:
        first[0x8825] = 4, tiff.long(tiff.ifd({0: (1, b"\2\3\0\0"), **parts[_GPS]}))
    second = tiff.ifd(parts["thumbnail"]) if "thumbnail" in parts else 0
    return tiff.whole(tiff.ifd(first, second))


def exif_blocks(s: Secret) -> dict[str, bytes]:
    text, utf16 = s.text.encode(), s.text.encode("utf-16-le")
    wide, high = struct.pack("<H", s.size[0]), struct.pack("<H", s.size[1])
    out: dict[str, bytes] = {}

    def thumbnail(order: str, data: bytes, compressed: bool) -> bytes:
        tiff = Tiff(order)
        at, length = tiff.long(tiff.put(data)), tiff.long(len(data))
        tags = {0x0100: (3, wide), 0x0101: (3, high), 0x0103: (3, b"\6\0" if compressed else b"\1\0")}
        tags |= {0x0201: (4, at), 0x0202: (4, length)} if compressed else {0x0111: (4, at), 0x0117: (4, length)}
        return tiff.whole(tiff.ifd({0x010F: (2, b"ACME\0")}, tiff.ifd(tags)))

    out["IFD1, JPEG"] = thumbnail("<", s.jpeg, True)
    out["IFD1, big-endian"] = thumbnail(">", s.jpeg, True)
    out["IFD1, raw strips"] = thumbnail("<", s.raw, False)
    notes = {
        "a JPEG": b"ACME\0" + s.jpeg, "a JPEG without its first byte": b"MLT0" + b"\0" + s.jpeg[1:],
        "a JPEG without SOI": b"ACME\0" + s.jpeg[2:], "raw": b"ACME\0" + s.raw,
        "nested directories": b"Nikon\0\2\x10\0\0" + thumbnail("<", s.jpeg, True),
        "xor": b"ACME\0" + s.text.encode() * 2,
    }  # fmt: skip
    for name, note in notes.items():
        out[f"maker note, {name}"] = block(exif={0x927C: (7, note)})
    for code in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)):
        out[f"user comment, {code!r}"] = block(exif={0x9286: (7, code + text)})
    out["user comment, UNICODE"] = block(exif={0x9286: (7, b"UNICODE\0" + utf16)})
    out["user comment, a JPEG"] = block(exif={0x9286: (7, b"ASCII\0\0\0" + s.jpeg)})
    out["user comment, spaced"] = block(
        exif={0x9286: (7, b"ASCII\0\0\0" + b" ".join(text[i : i + 1] for i in range(len(text))))}
    )
    undefined = {
        0x8828: "OECF", 0x9000: "version", 0x9101: "components", 0xA000: "FlashPix version",
        0xA20C: "frequency response",
        0xA300: "file source", 0xA301: "scene type", 0xA302: "CFA pattern", 0xA40B: "device settings",
        0xA460: "composite", 0xA462: "composite, exposures", 0x9C9B: "Windows title", 0xEA1C: "padding",
        0xFDE8: "private",
    }  # fmt: skip
    for tag, name in undefined.items():
        out[f"{name} ({tag:#x}), bytes"] = block(exif={tag: (7, s.jpeg)})
    for tag in (0x010E, 0x0131, 0x013B, 0x8298, 0xA420, 0xA431, 0xFDE9):
        out[f"text of {tag:#x}"] = block(first={tag: (2, text + b"\0")}, exif={tag: (2, text + b"\0")})
        out[f"a JPEG as text of {tag:#x}"] = block(first={tag: (2, s.jpeg)}, exif={tag: (2, s.jpeg)})
    for tag in range(0x9C9B, 0x9CA0):
        out[f"Windows' {tag:#x}"] = block(first={tag: (1, utf16 + b"\0\0")})
    out["Windows' title, a JPEG"] = block(first={0x9C9B: (1, b"a" + s.jpeg)})
    for tag, name in {0x02BC: "XMP", 0x83BB: "IPTC", 0x8649: "Photoshop"}.items():
        inner = {0x02BC: packet(attributes=f'GImage:Data="{s.text}"').encode(), 0x83BB: preview(s)}
        out[f"{name} in EXIF"] = block(first={tag: (7, inner.get(tag, resource(1036, bytes(28) + s.jpeg)))})
    others = {
        0x014A: "sub-directories", 0x015B: "JPEG tables", 0x501B: "GDI+ thumbnail", 0x5090: "GDI+ table",
        0x8773: "profile",
        0x935C: "layers of Photoshop", 0xC4A5: "PrintIM", 0xC634: "DNG private data", 0xC6F8: "DNG profile name",
        0xC71A: "DNG preview", 0xC7B5: "DNG default", 0xCD2D: "DNG profile", 0xC68B: "raw file's name",
        0xC68C: "original raw file", 0xA480: "GDAL", 0xC696: "raw strips",
    }  # fmt: skip
    for tag, name in others.items():
        out[f"{name} ({tag:#x})"] = block(first={tag: (7, s.jpeg)})
    tiff = Tiff()
    sub = tiff.ifd(
        {0x00FE: (4, tiff.long(1)), 0x0201: (4, tiff.long(tiff.put(s.jpeg))), 0x0202: (4, tiff.long(len(s.jpeg)))}
    )
    out["SubIFDs"] = tiff.whole(tiff.ifd({0x014A: (4, tiff.long(sub))}))
    out["GPS, processing method"] = block(gps={0x1B: (7, b"ASCII\0\0\0" + text)})
    out["GPS, area, a JPEG"] = block(gps={0x1C: (7, b"ASCII\0\0\0" + s.jpeg)})
    out["GPS, a track as bytes"] = block(gps={0x0F: (7, s.jpeg)})
    out["GPS, text"] = block(gps={0x12: (2, text + b"\0"), 0x08: (2, s.jpeg)})
    out["interoperability"] = block(interop={0x1000: (2, text + b"\0"), 0x1001: (7, s.jpeg)})
    many = s.jpeg + bytes(-len(s.jpeg) % 72)
    private = range(0xE000, 0xE000 + len(many) // 72)
    out["dealt out to numbers"] = block(first={t: (5, many[72 * i : 72 * i + 72]) for i, t in enumerate(private)})
    listed = [0x829A, 0x829D, *range(0x9201, 0x920B), 0xA20B, 0xA20E, 0xA20F, 0xA215, 0xA404, 0xA432, 0xA500]
    out["dealt out to known numbers"] = block(exif={t: (5, s.jpeg[700 + 64 * i :][:64]) for i, t in enumerate(listed)})
    short = [s.text[i : i + 100].encode() for i in range(0, len(s.text), 100)]
    out["dealt out to texts"] = block(first={0xE000 + i: (2, part + b"\0") for i, part in enumerate(short)})
    out["behind the block"] = block() + s.jpeg
    out["twice"] = block(exif={0x9286: (7, b"ASCII\0\0\0words")}) + block(exif={0x9286: (7, s.jpeg)})
    return out


def preview(s: Secret) -> bytes:
    """IPTC's object data preview, and the object itself."""
    record = b"\x1c\x02\xc8\0\2\0\x0b\x1c\x02\xc9\0\2\0\1\x1c\x02\xca" + struct.pack(">H", len(s.jpeg)) + s.jpeg
    long = b"\x1c\x08\x0a\x80\4" + struct.pack(">I", len(s.jpeg)) + s.jpeg
    return record + long


def resources(s: Secret) -> dict[str, bytes]:
    """Photoshop's image resources, and IPTC in them."""
    head = struct.pack(">6I2H", 1, *s.size, 3 * s.size[0], 3 * s.size[0] * s.size[1], len(s.jpeg), 24, 1)
    out = {f"thumbnail {number}": resource(number, head + s.jpeg) for number in (1033, 1036)}
    out["thumbnail, raw"] = resource(1033, head + s.raw)
    numbers = {
        1005: "resolution", 1039: "profile", 1058: "EXIF", 1059: "EXIF 3", 1060: "XMP", 1064: "aspect", 1065: "comps",
        1077: "colours", 1086: "user", 1088: "Mac", 1092: "slices", 2000: "path", 2999: "clipping", 4000: "plug-in",
        7000: "image ready", 7001: "image ready, data", 8000: "Lightroom", 10000: "print",
    }  # fmt: skip
    for number, name in numbers.items():
        out[f"{name} ({number})"] = resource(number, s.jpeg, b"name")
    out["IPTC preview"] = resource(1028, preview(s))
    caption = s.text.encode()
    out["IPTC caption"] = resource(1028, b"\x1c\x02\x78" + struct.pack(">H", len(caption)) + caption)
    words = [caption[i : i + 60] for i in range(0, len(caption), 60)]
    dealt = b"".join(b"\x1c\x02\x19" + struct.pack(">H", len(word)) + word for word in words)
    out["IPTC keywords"] = resource(1028, dealt)
    numbers_of = [5, 10, 15, 20, 22, 26, 27, 40, 80, 85, 90, 92, 95, 100, 101, 103, 105, 110, 115, 116, 118, 122, 130]
    fields = zip(numbers_of, [caption[i : i + 120] for i in range(0, len(caption), 120)], strict=False)
    out["IPTC, many fields"] = resource(
        1028, b"".join(b"\x1c\x02" + bytes([n]) + struct.pack(">H", len(part)) + part for n, part in fields)
    )
    out["Mac's kind of resource"] = b"MeSa" + resource(1036, head + s.jpeg)[4:]
    return out


def packets(s: Secret) -> dict[str, bytes]:
    """XMP."""
    text = s.text
    url = base64.urlsafe_b64encode(s.jpeg).decode().rstrip("=")
    lines = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    parts = [text[i : i + 100] for i in range(0, len(text), 100)]
    bag = "".join(f"<rdf:li>{part}</rdf:li>" for part in parts)
    named = [f"a{url[i : i + 50]}" for i in range(0, len(url), 50)]
    body = {
        "Thumbnails": f'<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"><xmpGImg:format>JPEG</xmpGImg:format>'
        f"<xmpGImg:image>{lines}</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>",
        "Thumbnails, numbers of line ends": "<xmp:Thumbnails><rdf:Alt><rdf:li xmpGImg:image='"
        + lines.replace("\n", "&#xA;") + "'/></rdf:Alt></xmp:Thumbnails>",
        "PageInfo": f"<xmp:PageInfo><rdf:Seq><rdf:li xmpGImg:image='{text}'/></rdf:Seq></xmp:PageInfo>",
        "Ingredients": f"<xmpMM:Ingredients><rdf:Bag><rdf:li stRef:filePath='{text}'/></rdf:Bag></xmpMM:Ingredients>",
        "Pantry": f"<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description xmpGImg:image='{text}'/></rdf:li></rdf:Bag>"
        "</xmpMM:Pantry>",
        "History": "<xmpMM:History><rdf:Seq>" + "".join(f"<rdf:li stEvt:parameters='{p}'/>" for p in parts)
        + "</rdf:Seq></xmpMM:History>",
        "History, ids": "<xmpMM:History><rdf:Seq>" + "".join(f"<rdf:li stEvt:instanceID='{p}'/>" for p in parts)
        + "</rdf:Seq></xmpMM:History>",
        "a caption": f"<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>{text}</rdf:li></rdf:Alt>"
        "</dc:description>",
        "CDATA": f"<dc:source><![CDATA[{text}]]></dc:source>",
        "CDATA in pieces": "<dc:source>" + "".join(f"<![CDATA[{part}]]><!-- -->" for part in parts) + "</dc:source>",
        "numbers of characters": "<dc:source>" + "".join(f"&#{ord(c)};" for c in text) + "</dc:source>",
        "hexadecimal": f"<dc:source>{s.jpeg.hex(' ')}</dc:source>",
        "letters by themselves": f"<dc:source>{' '.join(text)}</dc:source>",
        "base64 of URLs": f"<dc:source>{url}</dc:source>",
        "keywords": f"<dc:subject><rdf:Bag>{bag}</rdf:Bag></dc:subject>",
        "people": "<Iptc4xmpExt:PersonInImageWDetails><rdf:Bag>"
        + "".join(f"<rdf:li Iptc4xmpExt:PersonName='{p}'/>" for p in parts)
        + "</rdf:Bag></Iptc4xmpExt:PersonInImageWDetails>",
        "region": "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag><rdf:li>"
        f"<rdf:Description mwg-rs:Name='Ann' own:picture='{text}'><mwg-rs:Area stArea:x='.1' stArea:y='.1'/>"
        "</rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>",
        "a language": f"<dc:title><rdf:Alt><rdf:li xml:lang='{text}'>Sea</rdf:li></rdf:Alt></dc:title>",
        "languages": "<dc:title><rdf:Alt>" + "".join(f"<rdf:li xml:lang='{p}'>Sea</rdf:li>" for p in parts)
        + "</rdf:Alt></dc:title>",
        "a name": f"<own:a{url}>1</own:a{url}>",
        "names": "".join(f"<own:{name}>1</own:{name}>" for name in named),
        "names in a listed one": "<dc:title rdf:parseType='Resource'>"
        + "".join(f"<own:{name}>1</own:{name}>" for name in named) + "</dc:title>",
        "a namespace": f"<p:x xmlns:p='data:image/jpeg;base64,{text}'>1</p:x>",
        "a namespace inside": f"<dc:title><rdf:Bag><rdf:li p:x='1' xmlns:p='{text}'/></rdf:Bag></dc:title>",
        "a prefix": f"<a{url}:x xmlns:a{url}='http://example.org/p/'>1</a{url}:x>",
        "namespaces": "".join(f"<p:x{i} xmlns:p='http://x/{p}'>1</p:x{i}>" for i, p in enumerate(parts)),
        "resource": f"<own:see rdf:resource='data:image/jpeg;base64,{text}'/>",
        "value with a qualifier": f"<own:q rdf:parseType='Resource'><rdf:value>{text}</rdf:value>"
        "<own:r>1</own:r></own:q>",
        "qualifier": f"<dc:title rdf:parseType='Resource'><rdf:value>Sea</rdf:value><own:r>{text}</own:r></dc:title>",
        "literal": f"<own:l rdf:parseType='Literal'><b>{text}</b></own:l>",
        "typed node": f"<own:n><own:Kind rdf:about='' own:data='{text}'/></own:n>",
        "deep": "<own:d rdf:parseType='Resource'>" * 8 + f"<own:e>{text}</own:e>" + "</own:d>" * 8,
        "many of our own": "".join(f"<own:x{i}>{part}</own:x{i}>" for i, part in enumerate(parts)),
        "comments": f"<!-- {url.replace('--', '')} -->",
        "instruction": f"<?picture {text}?>",
        "source type": f"<Iptc4xmpExt:DigitalSourceType>http://x/{text}/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>",
    }  # fmt: skip
    attributes = {
        "GImage": f'GImage:Mime="image/jpeg" GImage:Data="{text}"', "GImage, one quote": f"GImage:Data = '{text}'",
        "GDepth": f'GDepth:Data="{text}"', "GDepth, confidence": f"GDepth:Confidence='{text}'",
        "photoshop": f'photoshop:LegacyIPTCDigest="{text}"', "gain map": f'hdrgm:Version="1.0" hdrgm:Map="{text}"',
        "camera": f'GCamera:SpecialTypeID="{text}"', "our own": f'own:blob="{text}"', "label": f'xmp:Label="{text}"',
    }  # fmt: skip
    found = {name: packet(inside).encode() for name, inside in body.items()}
    found |= {name: packet(attributes=inside).encode() for name, inside in attributes.items()}
    wide = packet(attributes=f'GDepth:Data="{text}"')
    found |= {codec: wide.encode(codec) for codec in ("utf-16", "utf-16-be", "utf-32")}
    found["another prefix"] = wide.replace("GDepth", "q").encode()
    found["behind the packet"] = packet().encode() + b"<?xpacket end='w'?>" + text.encode()
    found["toolkit"] = packet().replace("<x:xmpmeta", f"<x:xmpmeta x:xmptk='{text}'").encode()
    found["about"] = packet().replace('rdf:about=""', f'rdf:about="{text}"').encode()
    found["two descriptions"] = (
        packet().replace("</rdf:RDF>", f"<rdf:Description xmlns:o='http://o/' o:b='{text}'/></rdf:RDF>").encode()
    )
    return found


def profiles(s: Secret) -> dict[str, bytes]:
    """Colour profiles."""
    text = s.text.encode()
    out = {"private tag": with_private(s.jpeg)}
    utf16 = s.text.encode("utf-16-be")
    multi = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(utf16), 28) + utf16
    for name in (b"dmnd", b"dmdd", b"vued", b"targ", b"meta", b"ps2s"):
        out[f"text of {name.decode()}"] = with_private(b"text" + bytes(4) + text, name)
    out["texts in languages"] = with_private(multi, b"dmdd")
    out["behind a text"] = with_private(b"text" + bytes(4) + b"words\0" + s.jpeg, b"vued")
    out["behind a number"] = with_private(b"XYZ " + bytes(16) + s.jpeg, b"lumi")
    out["a curve"] = with_private(b"curv" + bytes(4) + struct.pack(">I", len(s.jpeg) // 2) + s.jpeg, b"kTRC")
    out["a table"] = with_private(b"mft2" + bytes(44) + s.jpeg, b"gamt")
    out["behind the profile"] = with_private(b"x" * 40) + s.jpeg
    return out


def whole_files(s: Secret) -> dict[str, bytes]:
    """Files of one kind, where the place belongs to the container alone; by the name, with its suffix."""
    small, text = s.jpeg, s.text.encode()
    lead = {
        0xE0: b"JFXX\0\x10",
        0xE2: b"FPXR\0\2\0\0",
        0xE3: b"Meta\0\0",
        0xE4: b"\0",
        0xE5: b"RMETA\0",
        0xE6: b"EPPIM\0",
    }
    lead |= {
        0xE7: b"\0",
        0xE8: b"SPIFF\0",
        0xE9: b"Media Jukebox\0",
        0xEA: b"AROT\0\0",
        0xEB: b"JP\0\1\0\0\0\1",
        0xEC: b"Ducky",
    }
    lead |= {0xED: b"Adobe_CM\0", 0xEE: b"Adobe\0\x64", 0xEF: b"\0"}
    out = {f"APP {marker:02x}.jpg": jpeg(segment(marker, start + small)) for marker, start in lead.items()}
    out["JFIF thumbnail.jpg"] = jpeg(segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1" + bytes([18, 24]) + s.raw))
    out["JFXX, raw.jpg"] = jpeg(segment(0xE0, b"JFXX\0\x13" + bytes([18, 24]) + s.raw))
    out["FLIR, raw.jpg"] = jpeg(segment(0xE1, b"FLIR\0\1\0\0FFF\0" + s.raw))
    out["EXIF twice.jpg"] = jpeg(
        segment(0xE1, b"Exif\0\0" + block()), segment(0xE1, b"Exif\0\0" + block(exif={0x927C: (7, small)}))
    )
    mpf = Tiff(">")
    entry = struct.pack(">IIIHH", 0x20030000, len(small), 4000, 0, 0)
    index = mpf.ifd({0xB000: (7, b"0100"), 0xB001: (4, mpf.long(2)), 0xB002: (7, entry * 2)})
    out["MPF.jpg"] = jpeg(segment(0xE2, b"MPF\0" + mpf.whole(index)), trail=small)
    out["trailer.jpg"] = jpeg(trail=small)
    out["trailer of a phone.jpg"] = jpeg(trail=b"\0\0\1\x0aEmbeddedVideoFile" + small + b"SEFH\0\0\0\0SEFT")
    out["motion video.jpg"] = jpeg(trail=struct.pack(">I4s4s", 16, b"ftyp", b"mp42") + bytes(4) + small)
    out["comment.jpg"] = jpeg(segment(0xFE, text))
    out["comment, a JPEG.jpg"] = jpeg(segment(0xFE, small))
    extended = packet(attributes=f'GImage:Data="{s.text}"').encode()
    cut = len(extended) // 2
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
    rows = [
        head + struct.pack(">II", len(extended), at) + extended[at : at + cut] for at in range(0, len(extended), cut)
    ]
    out["extended XMP in pieces.jpg"] = jpeg(*(segment(0xE1, row) for row in rows))
    private = with_private(small)
    half = len(private) // 2
    rows = [b"ICC_PROFILE\0\1\2" + private[:half], b"ICC_PROFILE\0\2\2" + private[half:]]
    out["profile in two segments.jpg"] = jpeg(*(segment(0xE2, row) for row in rows))
    for name in (b"prVW", b"caBX", b"sPLT", b"hIST", b"dSIG", b"pCAL", b"gIFx", b"iDOT", b"eXIf", b"fRAc"):
        out[f"chunk {name.decode()}.png"] = png((name, small))
    long = json.dumps({"image": s.text}).encode()
    out["text.png"] = png((b"tEXt", b"Comment\0" + text))
    out["texts.png"] = png(*((b"tEXt", b"Comment\0" + text[i : i + 100]) for i in range(0, len(text), 100)))
    out["keys.png"] = png(*((b"tEXt", text[i : i + 70] + b"\0words") for i in range(0, len(text), 70)))
    out["zTXt.png"] = png((b"zTXt", b"workflow\0\0" + zlib.compress(long)))
    out["iTXt.png"] = png((b"iTXt", b"Description\0\1\0\0\0" + zlib.compress(text)))
    out["iTXt, language.png"] = png((b"iTXt", b"Description\0\0\0" + text + b"\0" + text + b"\0words"))
    for kind in ("exif", "APP1", "iptc", "xmp", "8bim", "icm", "generic"):
        data = {"exif": b"Exif\0\0" + block(exif={0x927C: (7, small)}), "xmp": extended, "8bim": resource(1036, small)}
        raw = data.get(kind, small)
        body = f"\n{kind}\n{len(raw):8}\n".encode() + raw.hex().encode()
        out[f"raw profile {kind}.png"] = png(
            (b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(body))
        )
    out["behind the end.png"] = png() + small
    out["a chunk behind the end.png"] = png() + chunk(b"prVW", small)
    out["behind the pixels.png"] = png().replace(chunk(b"IEND", b""), chunk(b"prVW", small) + chunk(b"IEND", b""))
    out["chunk.webp"] = webp((b"PRVW", small))
    out["trailer.webp"] = webp(trail=small)
    out["comment.gif"] = _gif(b"\x21\xfe", small)
    out["application.gif"] = _gif(b"\x21\xff\x0bXMP DataXMP", extended)
    out["trailer.gif"] = encoded("GIF") + small
    out["gap.bmp"] = _bmp(small)
    out["trailer.bmp"] = encoded("BMP") + small
    out |= {f"{name}.tif": data for name, data in tiffs(s).items()}
    return out


def _gif(head: bytes, data: bytes) -> bytes:
    base = encoded("GIF")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)) + b"\0"
    at = base.find(b"\x2c", 781 - 1)
    return base[:at] + head + blocks + base[at:]


def _bmp(gap: bytes) -> bytes:
    base = encoded("BMP")
    (start,) = struct.unpack_from("<I", base, 10)
    head = base[:10] + struct.pack("<I", start + len(gap)) + base[14:start]
    return head + gap + base[start:]


def tiff_photo(tags: dict[int, tuple[int, bytes]], *, inside: Tiff | None = None, following: int = 0) -> bytes:
    """The photo as an uncompressed TIFF with more tags."""
    tiff = inside or Tiff()
    pixels = scene().tobytes()
    own = {256: (3, WIDTH), 257: (3, HEIGHT), 259: (3, 1), 262: (3, 2), 277: (3, 3), 278: (3, HEIGHT), 284: (3, 1)}
    entries = {tag: (kind, struct.pack("<H", value)) for tag, (kind, value) in own.items()}
    entries |= {258: (3, struct.pack("<3H", 8, 8, 8)), 273: (4, tiff.long(tiff.put(pixels)))}
    entries[279] = 4, tiff.long(len(pixels))
    return tiff.whole(tiff.ifd(entries | tags, following))


def tiffs(s: Secret) -> dict[str, bytes]:
    small, text = s.jpeg, s.text.encode() + b"\0"
    numbers = {
        270: "description", 305: "software", 315: "artist", 33432: "copyright", 42112: "GDAL", 65001: "private",
        269: "name",
        285: "page", 316: "host", 333: "inks", 34022: "colours", 50706 + 132: "ImageJ", 42113: "GDAL's nothing",
    }  # fmt: skip
    out = {f"{name}, text": tiff_photo({tag: (2, text)}) for tag, name in numbers.items() if tag != 333}
    binary = {
        347: "JPEG tables", 700: "XMP", 33723: "IPTC", 34377: "Photoshop", 37724: "layers", 65000: "private",
        50839: "ImageJ", 34732: "ImageLayer", 33550: "scale", 41728: "source", 59932: "padding", 34675: "profile",
    }  # fmt: skip
    held = {34377: resource(1036, bytes(28) + small), 33723: preview(s), 34675: with_private(small)}
    out |= {name: tiff_photo({tag: (7, held.get(tag, small))}) for tag, name in binary.items()}
    inside = Tiff()
    place = {
        0x0201: (4, inside.long(inside.put(small))),
        0x0202: (4, inside.long(len(small))),
        254: (4, inside.long(1)),
    }
    out["SubIFDs"] = tiff_photo({330: (4, inside.long(inside.ifd(place)))}, inside=inside)
    inside = Tiff()
    wide, high = s.size
    raw = s.image.tobytes()
    page = {256: (3, struct.pack("<H", wide)), 257: (3, struct.pack("<H", high)), 254: (4, inside.long(1))}
    page |= {258: (3, struct.pack("<3H", 8, 8, 8)), 259: (3, b"\1\0"), 262: (3, b"\2\0"), 277: (3, b"\3\0")}
    page |= {
        273: (4, inside.long(inside.put(raw + small))),
        278: (3, struct.pack("<H", high)),
        279: (4, inside.long(len(raw))),
    }
    out["a reduced page"] = tiff_photo({}, inside=inside, following=inside.ifd(page))
    proper = {0x927C: (7, small), 0x9286: (7, b"ASCII\0\0\0" + text[:-1])}
    inside = Tiff()
    out["EXIF directory"] = tiff_photo({0x8769: (4, inside.long(inside.ifd(proper)))}, inside=inside)
    out["behind the end"] = tiff_photo({}) + small
    inside = Tiff()
    inside.put(small)
    out["a gap"] = tiff_photo({}, inside=inside)
    return out
