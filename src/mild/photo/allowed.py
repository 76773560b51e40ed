"""Which properties of XMP stay in an edited photo, and which text of other places.

``clean`` keeps what is listed here: text and numbers that a public specification names, that show nobody and that the
edit did not make false. ``keep`` keeps also what nobody listed, but nothing that is known to hold pictures, hashes of
the unedited file, or claims about parts that are gone (gain map, depth, video).
"""

from __future__ import annotations

import re

from mild.photo.plain import MOST_OPAQUE, is_plain, opaque
from mild.photo.xmp import PREFIXES, RDF, Array, Name, Value, Xmp, leaves

DC, XAP = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/xap/1.0/"
MM, PHOTOSHOP = "http://ns.adobe.com/xap/1.0/mm/", "http://ns.adobe.com/photoshop/1.0/"
TIFF, EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

_KEPT: dict[str, str | None] = {
    DC: "contributor coverage creator date description language publisher relation rights source subject title type",
    XAP: "CreateDate ModifyDate MetadataDate CreatorTool Label Rating Nickname BaseURL",
    "http://ns.adobe.com/xap/1.0/rights/": None,
    MM: "DocumentID InstanceID OriginalDocumentID History",
    PHOTOSHOP: "AuthorsPosition CaptionWriter Category City Country Credit DateCreated Headline Instructions Source "
    "State SupplementalCategories TransmissionReference Urgency ColorMode",
    TIFF: "Make Model Artist Copyright ImageDescription DateTime Software Orientation",
    EXIF: "ExifVersion FlashpixVersion ColorSpace UserComment DateTimeOriginal DateTimeDigitized ExposureTime FNumber "
    "ExposureProgram ISOSpeedRatings ShutterSpeedValue ApertureValue BrightnessValue ExposureBiasValue "
    "MaxApertureValue SubjectDistance MeteringMode LightSource Flash FocalLength FocalPlaneXResolution "
    "FocalPlaneYResolution FocalPlaneResolutionUnit ExposureIndex SensingMethod FileSource ExposureMode WhiteBalance "
    "DigitalZoomRatio FocalLengthIn35mmFilm SceneCaptureType GainControl Contrast Saturation Sharpness "
    "SubjectDistanceRange GPSVersionID GPSLatitude GPSLongitude GPSAltitudeRef GPSAltitude GPSTimeStamp GPSSatellites "
    "GPSStatus GPSMeasureMode GPSDOP GPSSpeedRef GPSSpeed GPSTrackRef GPSTrack GPSImgDirectionRef GPSImgDirection "
    "GPSMapDatum GPSDestLatitude GPSDestLongitude GPSDestBearingRef GPSDestBearing GPSDestDistanceRef GPSDestDistance "
    "GPSProcessingMethod GPSAreaInformation GPSDifferential GPSHPositioningError",
    "http://cipa.jp/exif/1.0/": "BodySerialNumber CameraOwnerName Gamma ISOSpeed LensMake LensModel LensSerialNumber "
    "LensSpecification PhotographicSensitivity RecommendedExposureIndex SensitivityType StandardOutputSensitivity "
    "OffsetTime OffsetTimeOriginal OffsetTimeDigitized",
    "http://ns.adobe.com/exif/1.0/aux/": "Lens LensInfo LensID LensSerialNumber SerialNumber Firmware OwnerName "
    "ImageNumber FlashCompensation ApproximateFocusDistance",
    CORE: None,
    EXT: "AddlModelInfo AIPromptInformation AIPromptWriterName AISystemUsed AISystemVersionUsed ArtworkOrObject "
    "AboutCvTerm Contributor Creator CVterm DigitalSourceType Event EventExt EventId Genre ImageRegion "
    "ImageRating LocationCreated LocationShown MaxAvailHeight MaxAvailWidth ModelAge OrganisationInImageCode "
    "OrganisationInImageName PersonInImage PersonInImageWDetails ProductInImage RegistryId",
    "http://ns.useplus.org/ldf/xmp/1.0/": None,
    "http://ns.adobe.com/lightroom/1.0/": "hierarchicalSubject weightedFlatSubject privateRTKInfo",
    "http://www.metadataworkinggroup.com/schemas/regions/": "Regions",
    "http://www.metadataworkinggroup.com/schemas/keywords/": "Keywords",
    "http://ns.microsoft.com/photo/1.0/": "Rating LastKeywordXMP LastKeywordIPTC DateAcquired CameraSerialNumber "
    "LensModel LensManufacturer FlashManufacturer FlashModel",
    "http://ns.microsoft.com/photo/1.2/": "RegionInfo",
    "http://www.digikam.org/ns/1.0/": "TagsList CaptionsAuthorNames CaptionsDateTimeStamps ColorLabel PickLabel",
    "http://ns.iview-multimedia.com/mediapro/1.0/": "CatalogSets Event Location People Status UserFields",
    "http://ns.acdsee.com/regions/": "Regions",
    "http://ns.google.com/photos/1.0/panorama/": "ProjectionType UsePanoramaViewer PoseHeadingDegrees "
    "PosePitchDegrees PoseRollDegrees InitialViewHeadingDegrees InitialViewPitchDegrees InitialViewRollDegrees "
    "InitialHorizontalFOVDegrees CroppedAreaImageWidthPixels CroppedAreaImageHeightPixels FullPanoWidthPixels "
    "FullPanoHeightPixels CroppedAreaLeftPixels CroppedAreaTopPixels StitchingSoftware CaptureSoftware",
    "http://creativecommons.org/ns#": None,
}
_LISTED = {space: None if names is None else frozenset(names.split()) for space, names in _KEPT.items()}

#: Never kept: fields that hold pictures, hashes or offsets of the unedited file.
_NEVER = {
    XAP: {"Thumbnails", "PageInfo"},
    MM: {"Pantry", "Ingredients", "Manifest", "DerivedFrom"},
    PHOTOSHOP: {"DocumentAncestors", "LegacyIPTCDigest", "EmbeddedXMPDigest", "History", "TextLayers"},
    TIFF: {"NativeDigest", "ImageWidth", "ImageLength"},
    EXIF: {"NativeDigest", "MakerNote", "PixelXDimension", "PixelYDimension", "SubjectArea", "SubjectLocation"},
    DC: {"format"},
    EXT: {"DigImageGUID"},
}
#: Parts of a file that are not written again, by their namespaces, with the sentence for the report.
GAIN = "An HDR gain map was left out: the photo is shown in standard dynamic range."
_MOTION = "A motion video was left out."
_DEPTH = "A depth map or a second picture was left out."
_GONE = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": GAIN,
    "http://ns.apple.com/HDRGainMap/1.0/": GAIN,
    "http://ns.google.com/photos/1.0/camera/": _MOTION,
    "http://ns.google.com/photos/1.0/container/": None,
    "http://ns.google.com/photos/1.0/container/item/": None,
    "http://ns.google.com/photos/1.0/depthmap/": _DEPTH,
    "http://ns.google.com/photos/1.0/image/": _DEPTH,
    "http://ns.google.com/photos/1.0/audio/": "A sound was left out.",
    "http://ns.google.com/photos/1.0/focus/": None,
    "http://ns.google.com/photos/1.0/creations/": None,
    "http://ns.adobe.com/xmp/note/": None,
    "http://purl.org/dc/terms/": None,
    "http://ns.adobe.com/camera-raw-settings/1.0/": None,
    "http://ns.adobe.com/camera-raw-defaults/1.0/": None,
    "http://ns.adobe.com/camera-raw-embedded-lens-profile/1.0/": None,
}
_GONE_BEGINNINGS = (
    "http://ns.google.com/photos/dd/", "http://ns.apple.com/", "http://ns.xiaomi.com/", "http://ns.samsung.com/",
    "http://ns.adobe.com/raw-",
)  # fmt: skip
#: Structures of public specifications, beside the namespaces of properties.
_STRUCTURES = ("http://ns.adobe.com/xap/1.0/sType/", "http://ns.adobe.com/xmp/sType/", "http://ns.acdsee.com/sType/")
#: What of an entry of the history stays: not the ids of the unedited file.
_EVENT = frozenset({"action", "changed", "parameters", "softwareAgent", "when"})
#: A name or the address of a namespace may hold a picture, too; and both are written again.
_LONGEST_NAME, _LONGEST_SPACE, _MOST_NAMES = 64, 160, 300
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|_")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
_GONE_ENDINGS = ("data", "digest", "hash", "thumbnail", "thumbnails", "preview", "image", "gainmap", "depthmap", "icon")


def kept(xmp: Xmp) -> tuple[Xmp, list[str]]:
    """What any mode may keep, and sentences on parts of the photo that its metadata told of and that are gone."""
    told: list[str] = []
    found: dict[Name, Value] = {}
    for name, value in xmp.properties.items():
        space, local = name
        sentence = _GONE.get(space)
        if sentence == _MOTION and not local.startswith(("MotionPhoto", "MicroVideo")):
            sentence = None
        if "GainMap" in set(leaves(value)):
            sentence = GAIN
        if sentence and sentence not in told:
            told.append(sentence)
        if space in _GONE or space.startswith(_GONE_BEGINNINGS) or local in _NEVER.get(space, ()):
            continue
        if (space not in _LISTED and local.lower().endswith(_GONE_ENDINGS)) or not _plain(value) or not _named(name):
            continue
        if (fitted := _fitted(value, name == (MM, "History"))) is not None:
            found[name] = fitted
    return _short(Xmp(found, xmp.prefixes)), told


def listed(xmp: Xmp) -> Xmp:
    """The properties that ``clean`` keeps."""
    found = {}
    for (space, local), value in xmp.properties.items():
        names = _LISTED.get(space, frozenset())
        if (names is None or local in names) and (known := _of_known(value)) is not None:
            found[space, local] = known
    return Xmp(found, xmp.prefixes)


def _named(name: Name) -> bool:
    """Is this a name as a specification gives one?"""
    space, local = name
    runs = _RUN.findall(local)
    worded = len(local) <= 16 or len(local) >= 2.6 * len(runs)
    return (
        len(local) <= _LONGEST_NAME and _NAME.fullmatch(local) is not None and worded
        and len(space) <= _LONGEST_SPACE and is_plain(space) and not re.search(r"[\w+/=-]{64}", space)
    )  # fmt: skip


def _fitted(value: Value, history: bool = False) -> Value | None:
    """A value without fields and languages that are no such names; None when nothing is left."""
    if isinstance(value, dict):
        fields = {n: f for n, part in value.items() if _named(n) and (f := _fitted(part)) is not None}
        fields = {n: part for n, part in fields.items() if not history or n[1] in _EVENT}
        return fields or (None if value else value)
    if isinstance(value, Array):
        items = [
            (lang if lang and _LANGUAGE.fullmatch(lang) else None, _fitted(item, history)) for lang, item in value.items
        ]
        return Array(value.kind, tuple((lang, item) for lang, item in items if item is not None))
    return value


def _of_known(value: Value) -> Value | None:
    """A value without fields of namespaces that no specification here names; None when nothing is left."""
    if isinstance(value, dict):
        known = {
            (space, local): after
            for (space, local), part in value.items()
            if (space in PREFIXES or space in _LISTED or space == RDF or space.startswith(_STRUCTURES))
            and (after := _of_known(part)) is not None
        }
        return known or (None if value else value)
    if isinstance(value, Array):
        items = [(lang, _of_known(item)) for lang, item in value.items]
        return Array(value.kind, tuple((lang, item) for lang, item in items if item is not None))
    return value


def _short(xmp: Xmp) -> Xmp:
    """The packet without those of its properties that together hold too many characters that are no words, or names."""
    properties, dealt = dict(xmp.properties), {name: opaque(leaves(value)) for name, value in xmp.properties.items()}
    while sum(dealt.values()) > MOST_OPAQUE:
        largest = max(dealt, key=lambda name: dealt[name])
        # What comes near it in size is dealt out alike.
        for name in [name for name, count in dealt.items() if 4 * count >= dealt[largest]]:
            del dealt[name], properties[name]
    names = [name for name in properties if name[0] not in _LISTED]
    return Xmp({name: value for name, value in properties.items() if name not in names[_MOST_NAMES:]}, xmp.prefixes)


#: Keywords of PNG text that its specification names, and those of `keep` beside them.
PNG_TEXT = frozenset(
    {"Title", "Author", "Description", "Copyright", "Creation Time", "Software", "Disclaimer", "Warning", "Source"}
    | {"Comment", "Collection"}
)


def _plain(value: Value) -> bool:
    """Does a value hold text only? The items of a list are judged together, too: a picture may be dealt out to them."""
    if isinstance(value, str):
        return is_plain(value)
    if isinstance(value, dict):
        long = "".join(part for part in value.values() if isinstance(part, str) and len(part) > 40)
        return all(map(_plain, value.values())) and (not long or len(long) <= 300 or is_plain(long))
    texts = [item for _, item in value.items if isinstance(item, str)]
    if not all(_plain(item) for _, item in value.items):
        return False
    joined = " ".join(texts)
    return len(joined) <= 600 or is_plain(joined)
