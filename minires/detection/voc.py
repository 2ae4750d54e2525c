"""VOC's annotations: an XML file an image, as in PASCAL VOC's folders and as labelImg writes them.

| where | what lies there |
|---|---|
| `VOCdevkit/VOC2007` | `Annotations`, `JPEGImages`, `ImageSets/Main/trainval.txt` |
| any folder | XML files, in it or in its `Annotations`, and images beside them or in `JPEGImages` |

Of an XML file only `object`, `name` and `bndbox` must be there. A file that declares entities is
refused, since a few of them can stand for gigabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..common.expecting import SOME, Each, expects
from ..common.files import read_text
from .annotations import AnnotatedImage, Annotations, Fault, ImageFolder, Object
from .numbers import finite, whole_size

LARGEST = 1 << 24  # bytes; VOC's own files take some thousand
CORNERS = ("xmin", "ymin", "xmax", "ymax")
UNREADABLE = "files that can't be read"
NO_BOX = "objects without a box of four finite numbers"
NO_NAME = "objects without a name"
NO_FLAG = "objects whose difficult is neither 0 nor 1"
NO_FILE = "images of the split without an annotation file"
UNKNOWN = "objects of unknown classes"
ALIKE = "files that do not say which of several images they are of"
NO_SIZE = "sizes of images that are not whole numbers of pixels"


@expects(folder=Path, split=str, images=Path, classes=Each(str, SOME))
def read_voc(
    folder: Path,
    *,
    split: str | None = None,
    images: Path | None = None,
    classes: Sequence[str] | None = None,
) -> Annotations:
    """The annotations of a folder, as the module's text has them.

    Args:
        folder: what holds the XML files, or their `Annotations`.
        split: only the images that `ImageSets/Main/SPLIT.txt` lists, such as "trainval".
        images: where the images are; by default in `JPEGImages` or beside the XML files.
        classes: names in the order of the labels; by default those found, in alphabetical order.

    What can't be read is left out and is one of the result's `faults`. Raises: FileNotFoundError,
    or ValueError where there is nothing to read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    folder = year_of(folder)
    place = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    paths = files_of_split(folder, place, split) if split else xml_files(place)
    if not paths:
        raise ValueError(f"{place} holds no XML files of annotations")
    reading = VocReading(images_of(folder, place, images))
    for path in paths:
        reading.read(path)
    return reading.annotations(folder.resolve().name, classes)


def year_of(folder: Path) -> Path:
    """The year's folder of a development kit; any other folder itself.

    Raises: ValueError for a kit of several years.
    """
    years = sorted(path for path in folder.glob("VOC[0-9]*") if (path / "Annotations").is_dir())
    if (folder / "Annotations").is_dir() or not years:
        return folder
    if len(years) > 1:
        raise ValueError(f"{folder} holds {', '.join(y.name for y in years)}: name one of them")
    return years[0]


def xml_files(folder: Path) -> list[Path]:
    """The XML files of a folder, by name; hidden ones are left out."""
    found = (p for p in folder.iterdir() if p.suffix.lower() == ".xml" and p.name[0] != ".")
    return sorted(found)


def files_of_split(folder: Path, place: Path, split: str) -> list[Path]:
    """The XML files that a split names, in its order, there or not."""
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt"))) or "none"
        raise FileNotFoundError(f"there is no split {path}; there are: {there}")
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return [place / f"{name}.xml" for name in dict.fromkeys(first_word(n, place) for n in names)]


def first_word(line: str, place: Path) -> str:
    """The name of an image; in a class's own list its presence (1, 0, -1) stands behind it."""
    return line if (place / f"{line}.xml").is_file() else line.split()[0]


def images_of(folder: Path, place: Path, images: Path | None) -> ImageFolder:
    """Where the images are, or are looked for."""
    if images is None:
        return ImageFolder(folder / "JPEGImages", folder / "images", place, folder)
    if not images.is_dir():
        raise FileNotFoundError(f"there is no folder of images {images}")
    return ImageFolder(images)


@dataclass
class VocReading:
    """What the files said so far: images, objects with their names, and faults."""

    files: ImageFolder
    images: list[AnnotatedImage] = field(default_factory=list)
    objects: list[tuple[str, str, Object]] = field(default_factory=list)  # where, class, object
    faults: list[Fault] = field(default_factory=list)

    def read(self, path: Path) -> None:
        """Take in a file."""
        try:
            root = parse(path)
        except FileNotFoundError:
            self.faults.append(Fault(NO_FILE, path.stem))
            return
        except (ValueError, OSError) as error:
            self.faults.append(Fault(UNREADABLE, f"{path.name}: {error}"))
            return
        file = self.file_of(root, path.stem)
        name = file.name if file else path.stem
        self.images.append(AnnotatedImage(path.stem, name, file, self.size(root, path)))
        for number, element in enumerate(root.findall("object"), 1):
            self.read_object(element, f"{path.name}, object {number}")

    def file_of(self, root: Element, stem: str) -> Path | None:
        """The image that is called as the XML file; of several, the one that it names."""
        said = text(root, "filename")
        alike: Sequence[Path | None] = self.files.by_stem.get(stem) or [self.files.find(said)]
        if len(alike) == 1:
            return alike[0]
        named = [path for path in alike if path and path.name == Path(said.replace("\\", "/")).name]
        if not named:
            names = ", ".join(path.name for path in alike if path)
            self.faults.append(Fault(ALIKE, f"{stem}.xml: {names}"))
        return (named or alike)[0]

    def size(self, root: Element, path: Path) -> tuple[int, int] | None:
        """Height and width, where the file says them."""
        element = root.find("size")
        if element is None:
            return None
        size = whole_size(*(number(text(element, side)) for side in ("height", "width")))
        if size is None:
            self.faults.append(Fault(NO_SIZE, path.name))
        return size

    def read_object(self, element: Element, where: str) -> None:
        """Take in an object of the last image."""
        name, frame = text(element, "name"), element.find("bndbox")
        corners = () if frame is None else [number(text(frame, tag)) for tag in CORNERS]
        if not name:
            self.faults.append(Fault(NO_NAME, where))
        elif len(corners) < 4 or not finite(corners):
            self.faults.append(Fault(NO_BOX, f"{where} ({name})"))
        elif text(element, "difficult").lower() not in ("", "0", "1", "false", "true"):
            self.faults.append(Fault(NO_FLAG, f"{where} ({name})"))
        else:
            self.objects.append((where, name, self.object_of(element, *corners)))

    def object_of(self, element: Element, x1: float, y1: float, x2: float, y2: float) -> Object:
        """An object with a continuous box, of no label yet; VOC's pixels count from 1."""
        box, size = (x1 - 1, y1 - 1, x2, y2), max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0)
        difficult = text(element, "difficult").lower() in ("1", "true")
        return Object(len(self.images) - 1, 0, box, size, size, difficult)

    def annotations(self, name: str, classes: Sequence[str] | None) -> Annotations:
        """All of it, once the classes are known."""
        names = list(classes or sorted({name for _, name, _ in self.objects}))
        labels = {name: label for label, name in enumerate(names, 1)}
        known = [o._replace(label=labels[n]) for _, n, o in self.objects if n in labels]
        unknown = [Fault(UNKNOWN, f"{w} ({n})") for w, n, _ in self.objects if n not in labels]
        return Annotations.of(name, names, self.images, known, faults=[*self.faults, *unknown])


def text(element: Element, tag: str) -> str:
    """What stands in a child, or nothing."""
    return (element.findtext(tag) or "").strip()


def number(text: str) -> float:
    """A number, or NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def parse(path: Path) -> Element:
    """The root of an XML file. Raises: ValueError, with the reason alone, or OSError."""
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{size:,} bytes, more than {LARGEST:,} for one image")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_entities
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError) as error:  # the latter for unknown encodings
        raise ValueError(f"not XML ({error})") from None
    return builder.close()


def refuse_entities(*declaration: object) -> NoReturn:
    """No annotation needs a document type, which alone can declare entities."""
    raise ValueError("it declares a document type, which annotations don't need: it may be a bomb")
