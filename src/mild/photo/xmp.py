"""XMP packets, read into one plain model whatever their spelling, and written in one.

XMP (ISO 16684-1) is a subset of RDF/XML: a property may be an attribute or an element, a structure may be written in
four ways, prefixes are free, the text may be UTF-8, UTF-16 or UTF-32. All of that is gone once a packet is read.
Read with a parser that knows no document types and no entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_META = "adobe:ns:meta/"
#: Deeper structures and more values than these are no metadata of a photo.
_DEEPEST, _MOST_VALUES, _MOST_ELEMENTS = 12, 20_000, 60_000
_MOST_INSTRUCTIONS, _MOST_SIGNS = 1_000, 200_000
#: The longest packet that is read, in bytes; extended XMP is meant for megabytes of pictures, which are not kept.
LONGEST = 32 * 2**20
_BAD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

#: Namespace URI and local name.
Name = tuple[str, str]


@dataclass(frozen=True)
class Array:
    """A list of values: ``kind`` is ``Bag``, ``Seq`` or ``Alt``; each item has its language or None."""

    kind: str
    items: tuple[tuple[str | None, Value], ...] = ()


#: A text, a structure or a list.
Value = str | dict[Name, Any] | Array


@dataclass(frozen=True)
class Xmp:
    """The properties of a packet, in its order; ``prefixes`` are those it used, for namespaces we do not know."""

    properties: dict[Name, Value] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.properties)

    def merged(self, other: Xmp) -> Xmp:
        """These properties, and those of ``other`` that are missing here."""
        return Xmp({**other.properties, **self.properties}, {**other.prefixes, **self.prefixes})


def read_xmp(packet: bytes | str | None) -> Xmp | None:
    """The properties of a packet; None when it is no XML that can be trusted and understood. Never raises."""
    if not packet or len(packet) > LONGEST:
        return None
    text = packet if isinstance(packet, str) else _decoded(packet)
    start = text.find("<")
    text = _unprocessed(text[start:]) if start >= 0 else ""
    text = _BAD.sub("", text[: text.rfind(">") + 1])
    try:
        root, prefixes = _parsed(text)
        reader = _Reader()
        found: dict[Name, Value] = {}
        for node in root.iter(f"{{{RDF}}}RDF"):
            for about in node:
                for name, value in reader.fields(about, 0):
                    found.setdefault(name, value)
    except Exception:  # the parser and its guards raise many kinds; all of them mean the same here
        return None
    return Xmp(found, prefixes)


def write_xmp(xmp: Xmp) -> bytes | None:
    """A packet in UTF-8, in the canonical spelling; None when there is nothing to write."""
    if not xmp:
        return None
    writer = _Writer(xmp.prefixes)
    body = "".join(writer.element(name, value, "  ") for name, value in xmp.properties.items())
    spaces = "".join(f'\n    xmlns:{prefix}="{escape(uri)}"' for uri, prefix in writer.used.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="{_META}">\n<rdf:RDF xmlns:rdf="{RDF}">\n <rdf:Description rdf:about=""{spaces}>\n'
        f'{body} </rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def leaves(value: Value) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    else:
        for _, part in value.items:
            yield from leaves(part)


def _decoded(packet: bytes) -> str:
    """Text of a packet by its byte order mark, or else by where the zeros of its first letters lie."""
    for mark, codec in (
        (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"),
        (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"),
    ):  # fmt: skip
        if packet.startswith(mark):
            return packet.decode(codec, "ignore")
    try:
        return packet.decode("utf-8")
    except UnicodeDecodeError:
        return packet.decode("latin-1")


def _unprocessed(text: str) -> str:
    """The text without processing instructions (one that does not end takes the rest with it); "" for no packet.

    The parser makes all attributes of an element before it can be stopped.
    """
    if text.count("<?") > _MOST_INSTRUCTIONS or text.count("=") > _MOST_SIGNS:
        return ""
    parts = text.split("<?")
    return parts[0] + "".join(part.partition("?>")[2] for part in parts[1:])


def _parsed(text: str) -> tuple[Element, dict[str, str]]:
    """The root element, and namespace -> prefix."""
    from defusedxml.ElementTree import DefusedXMLParser

    class Target:
        """Builds the tree and notes the prefixes."""

        def __init__(self) -> None:
            from xml.etree.ElementTree import TreeBuilder

            self.tree, self.prefixes = TreeBuilder(), {}  # type: ignore[var-annotated]
            self.end, self.data, self.count = self.tree.end, self.tree.data, 0

        def start(self, tag: str, attributes: dict[str, str]) -> Element:
            self.count += 1 + len(attributes)
            if self.count > _MOST_ELEMENTS:
                raise ValueError("more than a photo's metadata")
            return self.tree.start(tag, attributes)

        def start_ns(self, prefix: str, uri: str) -> None:
            if prefix:
                self.prefixes.setdefault(uri, prefix)

        def close(self) -> Element:
            return self.tree.close()

    target = Target()
    parser = DefusedXMLParser(target=target, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.feed(text)
    return parser.close(), target.prefixes


class _Reader:
    """RDF/XML to values."""

    def __init__(self) -> None:
        self.count = 0

    def fields(self, node: Element, depth: int) -> Iterator[tuple[Name, Value]]:
        """The properties of a description: its attributes and its elements."""
        for key, text in node.attrib.items():
            name = _name(key)
            if name[0] not in (RDF, _XML, "") and name[0] != "http://www.w3.org/2000/xmlns/":
                self.count += 1
                yield name, text
        for child in node:
            if isinstance(child.tag, str):
                yield _name(child.tag), self.value(child, depth + 1)

    def value(self, element: Element, depth: int) -> Value:
        self.count += 1
        if depth > _DEEPEST or self.count > _MOST_VALUES:
            raise ValueError("more than a photo's metadata")
        children = [child for child in element if isinstance(child.tag, str)]
        resource = element.get(f"{{{RDF}}}resource")
        kind = element.get(f"{{{RDF}}}parseType")
        if kind == "Literal":
            return "".join(element.itertext())
        if len(children) == 1 and children[0].tag in (f"{{{RDF}}}Bag", f"{{{RDF}}}Seq", f"{{{RDF}}}Alt"):
            return self.array(children[0], depth)
        if kind == "Resource":
            return _unqualified(dict(self.fields(element, depth)))
        if len(children) == 1 and kind is None and self.describes(children[0]):
            return _unqualified(dict(self.fields(children[0], depth)))
        own = dict(self.fields(element, depth))
        if own:
            return _unqualified(own)
        return resource if resource is not None else (element.text or "")

    @staticmethod
    def describes(child: Element) -> bool:
        """A node element: a description, or a typed node, as opposed to a property."""
        return child.tag == f"{{{RDF}}}Description" or child.get(f"{{{RDF}}}about") is not None

    def array(self, node: Element, depth: int) -> Array:
        items = []
        for child in node:
            if isinstance(child.tag, str):
                value = self.value(child, depth + 1)
                items.append((child.get(f"{{{_XML}}}lang"), value))
        return Array(str(node.tag).rpartition("}")[2], tuple(items))


def _unqualified(fields: dict[Name, Value]) -> Value:
    """A structure; or, when it only qualifies a value, that value."""
    return fields.get((RDF, "value"), fields)


def _name(tag: str) -> Name:
    space, _, local = tag.rpartition("}")
    return space.removeprefix("{"), local


class _Writer:
    """Values to RDF/XML; knows the usual prefixes, keeps a packet's own for other namespaces."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        self.wanted = {**prefixes, **PREFIXES}
        self.used: dict[str, str] = {}

    def tag(self, name: Name) -> str:
        uri, local = name
        if uri == RDF:
            return f"rdf:{local}"
        if uri not in self.used:
            prefix = self.wanted.get(uri, "")
            if not re.fullmatch(r"(?!xml|rdf$|x$)[a-z_][\w.-]{0,23}", prefix, re.IGNORECASE | re.ASCII):
                prefix = "ns"
            taken, number = set(self.used.values()), 1
            while prefix in taken:
                number += 1
                prefix = f"{prefix.rstrip('0123456789')}{number}"
            self.used[uri] = prefix
        return f"{self.used[uri]}:{local}"

    def element(self, name: Name, value: Value, indent: str, lang: str | None = None) -> str:
        tag = self.tag(name)
        mark = f' xml:lang="{escape(lang, {chr(34): "&quot;"})}"' if lang else ""
        if isinstance(value, str):
            return f"{indent}<{tag}{mark}>{escape(value)}</{tag}>\n"
        if isinstance(value, Array):
            inside = "".join(self.element((RDF, "li"), item, indent + "  ", language) for language, item in value.items)
            kind = f"rdf:{value.kind}"
            return f"{indent}<{tag}{mark}>\n{indent} <{kind}>\n{inside}{indent} </{kind}>\n{indent}</{tag}>\n"
        if value and all(isinstance(part, str) for part in value.values()):
            pairs = "".join(f' {self.tag(key)}="{_attribute(part)}"' for key, part in value.items())
            return f"{indent}<{tag}{mark}{pairs}/>\n"
        inside = "".join(self.element(key, part, indent + " ") for key, part in value.items())
        return f'{indent}<{tag}{mark} rdf:parseType="Resource">\n{inside}{indent}</{tag}>\n'


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


#: The namespaces that public specifications of photo metadata use, and their usual prefixes.
PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/xap/1.0/sType/Dimensions#": "stDim",
    "http://ns.adobe.com/xmp/sType/Area#": "stArea",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://www.metadataworkinggroup.com/schemas/keywords/": "mwg-kw",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.2/": "MP",
    "http://ns.microsoft.com/photo/1.2/t/RegionInfo#": "MPRI",
    "http://ns.microsoft.com/photo/1.2/t/Region#": "MPReg",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://ns.iview-multimedia.com/mediapro/1.0/": "mediapro",
    "http://ns.acdsee.com/regions/": "acdsee-rs",
    "http://ns.acdsee.com/sType/Area#": "acdsee-stArea",
    "http://ns.google.com/photos/1.0/panorama/": "GPano",
    "http://creativecommons.org/ns#": "cc",
}
