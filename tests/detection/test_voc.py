"""VOC's annotations as people have them, and hostile ones."""

import numpy as np
import pytest
from PIL import Image

from minires.detection import read_annotations, read_voc
from minires.detection import voc as reader
from tests.detection.sets import voc_folder, write, xml

DOG = ("dog", 11, 6, 30, 25)


def kinds(annotations):
    return [fault.kind for fault in annotations.faults]


class TestBoxes:
    def test_pixels_counted_from_one_become_a_continuous_box(self, tmp_path):
        """Pixels 11 to 30 are 20 pixels wide."""
        made = read_voc(voc_folder(tmp_path, {"a": xml(DOG)}))
        np.testing.assert_array_equal(made.box, [[10, 5, 30, 25]])
        assert made.area == made.box_area == 400
        whole = read_voc(voc_folder(tmp_path / "b", {"a": xml(("dog", 1, 1, 60, 40))}))
        np.testing.assert_array_equal(whole.box, [[0, 0, 60, 40]])

    def test_pose_truncated_and_difficult_may_be_missing(self, tmp_path):
        text = xml(DOG).replace("<size>", "<!-- ").replace("</size>", " -->")
        made = read_voc(voc_folder(tmp_path, {"a": text}))
        assert len(made) == 1
        assert not made.difficult.any()
        assert made.images[0].size is None
        assert not made.faults

    @pytest.mark.parametrize(
        ("flag", "expected"),
        [("1", True), ("0", False), ("", False), ("True", True), (" 1\n", True)],
    )
    def test_difficult(self, flag, expected, tmp_path):
        text = xml((*DOG, f"<difficult>{flag}</difficult>"))
        assert read_voc(voc_folder(tmp_path, {"a": text})).difficult == expected

    def test_a_part_is_no_object(self, tmp_path):
        """People's heads and hands have boxes of their own inside the object."""
        part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
        made = read_voc(voc_folder(tmp_path, {"a": xml((*DOG, part))}))
        assert made.classes == ("dog",)
        np.testing.assert_array_equal(made.box, [[10, 5, 30, 25]])

    def test_coordinates_may_have_fractions(self, tmp_path):
        made = read_voc(voc_folder(tmp_path, {"a": xml(("dog", 1.5, 2, "45.70000076293945", 3))}))
        assert made.box[0, 2] == 45.70000076293945


class TestFolders:
    def test_labels_count_from_one_in_alphabetical_order(self, tmp_path):
        made = read_voc(voc_folder(tmp_path, {"a": xml(DOG, ("cat", 1, 1, 2, 2)), "b": xml()}))
        assert made.classes == ("cat", "dog")
        assert made.label.tolist() == [2, 1]
        assert [image.key for image in made.images] == ["a", "b"]
        assert made.of_image(0) == slice(0, 2)
        assert made.of_image(1) == slice(2, 2)
        assert made.title(0) == "a.jpg, object 1 (dog)"

    def test_classes_may_be_given(self, tmp_path):
        root = voc_folder(tmp_path, {"a": xml(DOG, ("cat", 1, 1, 2, 2))})
        made = read_voc(root, classes=["horse", "dog"])
        assert made.label.tolist() == [2]
        assert made.faults == ((reader.UNKNOWN, "a.xml, object 2 (cat)"),)

    def test_a_split(self, tmp_path):
        root = voc_folder(tmp_path, {name: xml(DOG) for name in ("a", "b", "c d")})
        lists = root / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        write(lists / "train.txt", "c d\na\n\na\n")
        write(lists / "dog_train.txt", "b  1\na -1\nz  0\n")
        assert [i.key for i in read_voc(root, split="train").images] == ["c d", "a"]
        made = read_voc(root, split="dog_train")
        assert [i.key for i in made.images] == ["b", "a"]
        assert made.faults == ((reader.NO_FILE, "z"),)
        with pytest.raises(FileNotFoundError, match="there are: dog_train, train"):
            read_voc(root, split="val")

    def test_a_development_kit(self, tmp_path):
        voc_folder(tmp_path / "VOC2007", {"a": xml(DOG)})
        assert read_voc(tmp_path).name == "VOC2007"
        voc_folder(tmp_path / "VOC2012", {"a": xml(DOG)})
        with pytest.raises(ValueError, match="holds VOC2007, VOC2012: name one of them"):
            read_annotations(tmp_path)

    def test_files_beside_images_as_labelimg_writes_them(self, tmp_path):
        Image.new("RGB", (60, 40)).save(tmp_path / "a.PNG")
        write(tmp_path / "a.xml", xml(DOG))
        write(tmp_path / "._a.xml", "from a Mac")
        [image] = read_annotations(tmp_path).images
        assert image.path == tmp_path / "a.PNG"

    def test_the_images_name_is_the_files_then_what_the_file_says(self, tmp_path):
        """What it says may be a path of another machine; only its last part counts."""
        root = voc_folder(tmp_path, {"a": xml(DOG)})
        (root / "JPEGImages" / "a.jpg").rename(root / "JPEGImages" / "b.jpg")
        for name in ("b.jpg", "/home/pi/b.jpg", r"C:\\images\\b.jpg", "../../b.jpg"):
            text = xml(DOG, more=f"<filename>{name}</filename>")
            write(root / "Annotations" / "a.xml", text)
            assert read_voc(root).images[0].path == root / "JPEGImages" / "b.jpg"

    def test_of_two_images_of_one_name_the_one_that_the_file_names(self, tmp_path):
        """Such as a photograph and its mask."""
        root = voc_folder(tmp_path, {"a": xml(DOG)})
        Image.new("RGB", (60, 40)).save(root / "JPEGImages" / "a.png")
        assert read_voc(root).faults == ((reader.ALIKE, "a.xml: a.jpg, a.png"),)
        for name in ("a.png", "a.jpg", r"C:\\images\\a.png"):
            write(root / "Annotations" / "a.xml", xml(DOG, more=f"<filename>{name}</filename>"))
            made = read_voc(root)
            assert made.images[0].path.name == name[-5:]
            assert not made.faults

    def test_images_elsewhere(self, tmp_path):
        root = voc_folder(tmp_path / "set", {"a": xml(DOG)}, pictures=False)
        Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
        assert read_voc(root).images[0].path is None
        assert read_voc(root, images=tmp_path).images[0].path == tmp_path / "a.png"
        with pytest.raises(FileNotFoundError, match="there is no folder of images"):
            read_voc(root, images=tmp_path / "none")


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation>&x;</annotation>'


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (BOMB, "a.xml: it declares a document type"),
            (OUTSIDE, "a.xml: it declares a document type"),
            ("", "a.xml: not XML (no element found"),
            ("<annotation>", "a.xml: not XML (no element found"),
            ("<annotation>" * 9 + "&x;", "a.xml: not XML (undefined entity"),
            ('<?xml version="1.0" encoding="klingon"?><annotation/>', "a.xml: not XML (unknown e"),
            ("\0\1\2", "a.xml: not XML ("),
        ],
    )
    def test_each_is_named_with_a_reason(self, text, reason, tmp_path):
        made = read_voc(voc_folder(tmp_path, {"a": text, "b": xml(DOG)}))
        [fault] = made.faults
        assert fault.kind == reader.UNREADABLE
        assert fault.text.startswith(reason)
        assert len(made.images) == 1

    def test_deep_nesting_is_no_crash(self, tmp_path):
        text = "<annotation>" + "<a>" * 100_000 + "</a>" * 100_000 + "</annotation>"
        assert len(read_voc(voc_folder(tmp_path, {"a": text}))) == 0

    def test_a_file_of_gigabytes_is_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reader, "LARGEST", 100)
        [fault] = read_voc(voc_folder(tmp_path, {"a": xml(DOG)})).faults
        assert "bytes, more than 100 for one image" in fault.text

    @pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", "ten", "1e300", "<b/>"])
    def test_boxes_that_are_no_numbers(self, value, tmp_path):
        made = read_voc(voc_folder(tmp_path, {"a": xml(("dog", 1, 1, value, 9), DOG)}))
        assert made.faults == ((reader.NO_BOX, "a.xml, object 1 (dog)"),)
        assert len(made) == 1

    @pytest.mark.parametrize("flag", ["2", "very", "-1"])
    def test_a_flag_that_is_none(self, flag, tmp_path):
        text = xml((*DOG, f"<difficult>{flag}</difficult>"), DOG)
        made = read_voc(voc_folder(tmp_path, {"a": text}))
        assert len(made) == 1
        assert kinds(made) == [reader.NO_FLAG]

    def test_objects_without_box_or_name(self, tmp_path):
        text = "<annotation><object><name>dog</name></object><object/></annotation>"
        made = read_voc(voc_folder(tmp_path, {"a": text}))
        assert kinds(made) == [reader.NO_BOX, reader.NO_NAME]
        with pytest.raises(ValueError, match=r"has 2 faults .*`minires check-boxes` names all"):
            made.refuse_faults()

    @pytest.mark.parametrize("size", [(0, 40), (-1, 40), ("x", 40), (10**9, 40), (60.5, 40)])
    def test_sizes_that_are_none(self, size, tmp_path):
        root = voc_folder(tmp_path, {"a": xml(DOG, size=size)}, pictures=False)
        assert kinds(read_voc(root)) == [reader.NO_SIZE]

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no file or folder"):
            read_annotations(tmp_path / "none")
        with pytest.raises(ValueError, match="but it holds neither"):
            read_annotations(tmp_path)
        (tmp_path / "Annotations").mkdir()
        with pytest.raises(ValueError, match="holds no XML files"):
            read_annotations(tmp_path)
