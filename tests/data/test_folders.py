"""Folders of images in every layout, and what is said of those that do not fit."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from minires.data import (
    BrokenImageError,
    Classes,
    Dataset,
    Preprocessing,
    find_images,
    read_classes,
)
from minires.data.builtin import generate
from minires.data.folders import DatasetImages

from .photographs import folder_by_class, photograph, save, validation_set

SYNSETS = ("n01440764", "n01443537", "n01484850")
ILSVRC_NUMBERS = {3: "n01440764", 1: "n01443537", 2: "n01484850"}  # in no order, as in the kit


class TestSubFolders:
    def test_classes_are_the_folders_in_order(self, tmp_path, rng):
        images = find_images(folder_by_class(tmp_path / "zoo", rng))
        assert images.name == "zoo"
        assert images.classes.names == ("ant", "bee", "cat")
        assert images.labels == [0, 0, 1, 1, 2, 2]
        assert [path.name for path in images.paths][:3] == ["ant0.jpg", "ant1.jpg", "bee0.jpg"]
        assert images.open(0).size == (40, 30)
        assert images.title(5).endswith("cat1.jpg")

    def test_deeper_folders_and_capital_suffixes_count_hidden_and_other_files_do_not(
        self, tmp_path, rng
    ):
        folder_by_class(tmp_path, rng, classes=("ant",), each=1)
        save(tmp_path / "ant/more/x.JPEG", photograph(rng, 9, 9))
        save(tmp_path / "ant/more/y.jfif", photograph(rng, 9, 9))
        (tmp_path / "ant/._x.jpg").write_bytes(b"of a Mac")
        (tmp_path / "ant/notes.txt").write_text("none")
        (tmp_path / ".git/objects").mkdir(parents=True)
        images = find_images(tmp_path)
        assert [path.name for path in images.paths] == ["ant0.jpg", "x.JPEG", "y.jfif"]

    def test_an_image_counts_once_whatever_links_lead_to_it(self, tmp_path, rng):
        folder_by_class(tmp_path / "zoo", rng, classes=("ant", "bee"), each=1)
        save(tmp_path / "zoo/ant/.thumbnails/ant0.jpg", photograph(rng, 9, 9))
        save(tmp_path / "elsewhere/ant1.jpg", photograph(rng, 9, 9))
        (tmp_path / "zoo/ant/loop").symlink_to(tmp_path / "zoo/ant")
        (tmp_path / "zoo/ant/more").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "zoo/ant/other").symlink_to(tmp_path / "elsewhere")
        images = find_images(tmp_path / "zoo")
        assert [path.name for path in images.paths] == ["ant0.jpg", "ant1.jpg", "bee0.jpg"]

    def test_a_file_of_classes_says_which_output_a_folder_is(self, tmp_path, rng):
        classes = Classes(("n3", "n1", "n2"), ("bee", "cat", "ant"))
        images = find_images(folder_by_class(tmp_path, rng, each=1), classes=classes)
        assert images.labels == [2, 0, 1]

    def test_a_folder_that_is_no_class_is_named(self, tmp_path, rng):
        with pytest.raises(ValueError, match="class 'ant' is none of the 2 known ones"):
            find_images(folder_by_class(tmp_path, rng), classes=Classes.called(["bee", "cat"]))

    def test_the_first_few_are_of_all_classes(self, tmp_path, rng):
        images = find_images(folder_by_class(tmp_path, rng, each=4))
        assert images.first(3).labels == [0, 1, 2]
        assert images.first(100) == images


class TestNumberedFolders:
    def numbered(self, root, rng, names):
        return folder_by_class(root, rng, classes=names, each=1)

    @pytest.mark.parametrize("count", [2, 10, 11, 12, 101])
    def test_folders_called_like_outputs_are_these_outputs(self, count, tmp_path, rng):
        for number in range(count):
            (tmp_path / f"{number}").mkdir()
            (tmp_path / f"{number}/{number}.png").touch()
        images = find_images(tmp_path)
        assert [int(path.stem) for path in images.paths] == images.labels
        assert sorted(images.labels) == list(range(count))
        assert len(images.classes) == count

    def test_with_zeros_in_front_too(self, tmp_path, rng):
        images = find_images(self.numbered(tmp_path, rng, ("00", "01", "02")))
        assert images.labels == [0, 1, 2]

    @pytest.mark.parametrize("names", [("1", "2"), ("0", "2", "10"), ("0", "00"), ("3",)])
    def test_other_numbers_get_a_sentence(self, names, tmp_path, rng):
        folder = self.numbered(tmp_path, rng, names)
        with pytest.raises(
            ValueError, match=r"are numbers but not 0 \.\. \d, the outputs of a netw"
        ):
            find_images(folder)
        classes = Classes.called(["10", "3", "2", "1", "00", "0"])
        assert find_images(folder, classes=classes).labels == [
            classes.index(name) for name in sorted(names)
        ]

    def test_they_are_outputs_of_named_classes_too(self, tmp_path, rng):
        folder = self.numbered(tmp_path, rng, ("0", "1"))
        assert find_images(folder, classes=Classes.called(["ant", "bee"])).labels == [0, 1]
        assert find_images(folder, classes=Classes.called(["1", "0"])).labels == [1, 0]


class TestUnreadableFolders:
    @pytest.fixture
    def folder(self, tmp_path, rng, monkeypatch):
        """A folder of classes, of which the system does not list `bee`."""
        folder, scandir = folder_by_class(tmp_path / "zoo", rng, each=1), os.scandir

        def refusing(path):
            if Path(path).name == "bee":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)
        return folder

    def test_one_is_named_like_a_broken_image_and_the_others_keep_their_classes(self, folder):
        images = find_images(folder)
        assert images.labels == [0, 1, 2]
        assert images.paths[1] == folder / "bee"
        with pytest.raises(BrokenImageError, match=r"zoo/bee: (Is a directory|Permission denied)"):
            images.open(1)

    def test_an_empty_one_gets_a_sentence_unless_classes_are_named(self, tmp_path, rng):
        folder = folder_by_class(tmp_path, rng, each=1)
        (folder / "bat").mkdir()
        with pytest.raises(ValueError, match="the sub-folder bat holds no images"):
            find_images(folder)
        classes = Classes.called(["ant", "bat", "bee", "cat"])
        assert find_images(folder, classes=classes).labels == [0, 2, 3]


class TestNamesInLists:
    @pytest.fixture
    def images(self, tmp_path):
        """Four images, of which two and two have one name."""
        paths = [tmp_path / "d" / sub / f"{n}.png" for sub in "ab" for n in (0, 1)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return paths

    def found(self, tmp_path, text, name="list.txt"):
        (tmp_path / name).write_text(text)
        return find_images(tmp_path / "d", labels=tmp_path / name).labels

    @pytest.mark.parametrize("prefix", ["", "d/", "./", "d\\"])
    @pytest.mark.parametrize("suffix", [".png", ".JPEG", ""])
    def test_a_path_counts_as_far_as_it_is_given(self, prefix, suffix, tmp_path, images):
        names = [f"{prefix}{sub}/{n}{suffix}" for sub in "ab" for n in (0, 1)]
        text = "\n".join(f"{name} {n}" for n, name in enumerate(names))
        assert self.found(tmp_path, text) == [0, 1, 2, 3]

    def test_an_absolute_path_too(self, tmp_path, images):
        text = "\n".join(f"{path}\t{n}" for n, path in enumerate(images))
        assert self.found(tmp_path, text) == [0, 1, 2, 3]

    @pytest.mark.parametrize("text", ["0.png 0\n1.png 1", "0 0\n1 1", "0.png 0\na/1 0\nb/1 1"])
    def test_a_name_of_two_images_gets_a_sentence(self, text, tmp_path, images):
        with pytest.raises(
            ValueError, match=r"'0(\.png)?' could be any of .*a/0.png, .*b/0.png: wri"
        ):
            self.found(tmp_path, text)

    def test_a_name_with_two_classes_gets_a_sentence(self, tmp_path, images):
        with pytest.raises(ValueError, match=r"names a/0.png twice, as 0 and as 1"):
            self.found(tmp_path, "a/0.png 0\na/0.png 1")

    def test_two_entries_that_differ_in_suffix_alone_name_no_third(self, tmp_path, images):
        with pytest.raises(ValueError, match=r"a/0.png could be any of a/0.bmp, a/0.jpg"):
            self.found(tmp_path, "a/0.bmp 0\na/0.jpg 1")

    def test_two_images_of_one_number_get_a_sentence(self, tmp_path, rng):
        save(tmp_path / "val/x_1.png", photograph(rng, 9, 9))
        save(tmp_path / "val/y_1.png", photograph(rng, 9, 9))
        (tmp_path / "truth.txt").write_text("1\n")
        (tmp_path / "map_clsloc.txt").write_text("n01440764 1 tench")
        with pytest.raises(ValueError, match="'1' could be any of"):
            find_images(tmp_path / "val", labels=tmp_path / "truth.txt")
        (tmp_path / "map_clsloc.txt").write_text("n01440764 1 tench\nn01443537 1 goldfish")
        with pytest.raises(ValueError, match="has the number 1 twice"):
            find_images(tmp_path / "val", labels=tmp_path / "truth.txt")

    @pytest.mark.parametrize("head", ["", "file,class\n", "image_id,label\n"])
    def test_a_cell_of_a_table_is_a_class_as_a_whole(self, head, tmp_path, images):
        rows = ["a/0.png,golden eagle", "a/1.png,golden retriever", "b/0,n01440764 ", "b/1,cat"]
        (tmp_path / "list.csv").write_text(head + "\n".join(rows))
        found = find_images(tmp_path / "d", labels=tmp_path / "list.csv")
        assert found.classes.names == ("cat", "golden eagle", "golden retriever", "n01440764")
        assert found.labels == [1, 2, 3, 0]

    def test_tiny_imagenets_list_comes_before_its_folder_of_images(self, tmp_path, rng):
        for number in range(3):
            save(tmp_path / f"val/images/val_{number}.JPEG", photograph(rng, 9, 9))
        lines = [f"val_{n}.JPEG\t{SYNSETS[c]}\t0\t32\t44\t62" for n, c in enumerate((2, 0, 1))]
        (tmp_path / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
        images = find_images(tmp_path / "val")
        assert images.labels == [2, 0, 1]
        assert images.classes.ids == SYNSETS


class TestValidationSet:
    def test_kaggles_list_beside_the_folder(self, tmp_path, rng):
        folder = validation_set(tmp_path / "val", rng)
        rows = ["ImageId,PredictionString"]
        rows += [
            f"ILSVRC2012_val_{n:08},{SYNSETS[c]} 1 2 3 4 " for n, c in ((2, 2), (1, 0), (4, 1))
        ]
        rows += [f"ILSVRC2012_val_{3:08},{SYNSETS[0]} 1 2 3 4 {SYNSETS[0]} 5 6 7 8"]
        (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows))
        images = find_images(folder)
        assert images.labels == [0, 2, 0, 1]
        assert images.classes.ids == SYNSETS
        lines = [f"{synset} name of it, another" for synset in SYNSETS]
        (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
        assert find_images(folder).classes.names[0] == "name of it, another"

    @pytest.mark.parametrize("key", [str, SYNSETS.__getitem__])
    def test_caffes_list_by_place_or_identifier(self, key, tmp_path, rng):
        folder = validation_set(tmp_path, rng)
        lines = [f"ILSVRC2012_val_{n:08}.JPEG {key(c)}" for n, c in enumerate((2, 0, 1, 1), 1)]
        (tmp_path / "val.txt").write_text("\n".join(lines) + "\n\n")
        images = find_images(folder)
        assert images.labels == [2, 0, 1, 1]
        assert len(images.classes) == 3

    def kit(self, root):
        root.mkdir()
        truth = root / "ILSVRC2012_validation_ground_truth.txt"
        truth.write_text("3\n1\n2\n2\n1\n")
        return truth

    def test_the_development_kits_numbers_are_not_the_outputs(self, tmp_path, rng):
        truth = self.kit(tmp_path / "devkit")
        lines = [f"{synset} {number} name" for number, synset in ILSVRC_NUMBERS.items()]
        (tmp_path / "devkit/map_clsloc.txt").write_text("\n".join(lines))
        images = find_images(validation_set(tmp_path / "val", rng), labels=truth)
        assert images.labels == [0, 1, 2, 2]
        assert images.classes.ids == SYNSETS

    def test_the_development_kits_matlab_table(self, tmp_path, rng):
        savemat = pytest.importorskip("scipy.io", reason="needs scipy").savemat
        truth = self.kit(tmp_path / "devkit")
        table = np.zeros(4, [("ILSVRC2012_ID", object), ("WNID", object)])
        table[:] = [*((n, s) for n, s in ILSVRC_NUMBERS.items()), (1001, "n00001740")]
        savemat(tmp_path / "devkit/meta.mat", {"synsets": table})
        images = find_images(validation_set(tmp_path / "val", rng), labels=truth)
        assert images.labels == [0, 1, 2, 2]
        assert images.classes.ids == SYNSETS

    def test_a_part_of_the_images_keeps_all_classes(self, tmp_path, rng):
        folder = validation_set(tmp_path, rng, count=2)
        (tmp_path / "val.txt").write_text(
            "\n".join(f"ILSVRC2012_val_{n:08}.JPEG {s}" for n, s in enumerate(reversed(SYNSETS), 1))
        )
        assert find_images(folder).labels == [2, 1]

    @pytest.mark.parametrize(
        ("name", "text", "sentence"),
        [
            ("val.txt", "ILSVRC2012_val_00000001.JPEG 0", "says no class for 3 of 4 images: ILS"),
            ("val.txt", "", "is empty"),
            ("val.txt", "a b c", "the name of an image and its class in each line, but got 'a b c"),
            ("val.txt", "one\n", "the name of an image and its class in each line, but got 'one'"),
            ("ILSVRC2012_validation_ground_truth.txt", "1\n", "neither map_clsloc.txt nor meta"),
            ("ILSVRC2012_validation_ground_truth.txt", "²\n", "the name of an image and its class"),
            ("val.txt", "ILSVRC2012_val_00000001.JPEG ²", "says no class for 3 of 4 images"),
            (
                "LOC_val_solution.csv",
                'head\na,"' + "n1\n" * 99_999,
                r"solution\.csv is not a table of comma-sep",
            ),
        ],
    )
    def test_a_list_that_does_not_fit_gets_a_sentence(self, name, text, sentence, tmp_path, rng):
        validation_set(tmp_path, rng)
        (tmp_path / name).write_text(text)
        with pytest.raises((ValueError, FileNotFoundError), match=sentence):
            find_images(tmp_path)

    @pytest.mark.parametrize(
        "content",
        [b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(99), b""],
    )
    def test_a_matlab_file_that_cannot_be_read_gets_a_sentence(self, content, tmp_path, rng):
        pytest.importorskip("scipy.io", reason="needs scipy")
        truth = self.kit(tmp_path / "devkit")
        (tmp_path / "devkit/meta.mat").write_bytes(content)
        with pytest.raises(ValueError, match=r"meta\.mat can't be read as .*: put map_clsloc\.txt"):
            find_images(validation_set(tmp_path / "val", rng), labels=truth)

    def test_a_matlab_file_without_the_table_gets_a_sentence(self, tmp_path, rng):
        savemat = pytest.importorskip("scipy.io", reason="needs scipy").savemat
        truth = self.kit(tmp_path / "devkit")
        savemat(tmp_path / "devkit/meta.mat", {"else": np.zeros(3)})
        with pytest.raises(ValueError, match=r"meta\.mat can't be read as the table `synsets`"):
            find_images(validation_set(tmp_path / "val", rng), labels=truth)

    def test_a_picture_for_a_text_gets_a_sentence(self, tmp_path, rng):
        folder = folder_by_class(tmp_path / "zoo", rng, each=1)
        cat = folder / "cat/cat0.jpg"
        for read in (read_classes, lambda path: find_images(folder, labels=path)):
            with pytest.raises(ValueError, match=r"cat0\.jpg is not a text in UTF-8: is it the"):
                read(cat)

    def test_a_number_without_a_synset_gets_a_sentence(self, tmp_path, rng):
        truth = self.kit(tmp_path / "devkit")
        (tmp_path / "devkit/map_clsloc.txt").write_text("n01440764 3 tench")
        with pytest.raises(ValueError, match="no synset has the number '1'"):
            find_images(validation_set(tmp_path / "val", rng), labels=truth)

    def test_a_table_that_is_none_gets_a_sentence(self, tmp_path, rng):
        truth = self.kit(tmp_path / "devkit")
        (tmp_path / "devkit/map_clsloc.txt").write_text("what?")
        with pytest.raises(ValueError, match="expected lines such as 'n02119789 1 kit_fox'"):
            find_images(validation_set(tmp_path / "val", rng), labels=truth)


def test_what_is_not_there_gets_a_sentence(tmp_path, rng):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no images"):
        find_images(tmp_path)
    save(tmp_path / "x.png", photograph(rng, 9, 9))
    with pytest.raises(ValueError, match="no sub-folders of them, one a class"):
        find_images(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*truth\.txt"):
        find_images(tmp_path, labels=tmp_path / "truth.txt")


class TestClasses:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("list.json", '["ant", "bee"]'),
            ("object.json", '{"1": "bee", "0": "ant"}'),
            ("list.txt", "ant\n\nbee\n"),
            ("list.JSON", '["ant", "bee"]'),
            ("json.txt", '["ant", "bee"]'),
            ("python.txt", "{0: 'ant',\n 1: 'bee'}"),
        ],
    )
    def test_names_alone(self, name, text, tmp_path):
        (tmp_path / name).write_text(text)
        assert read_classes(tmp_path / name) == Classes.called(["ant", "bee"])

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("pairs.json", '[["n01440764", "tench"], ["n01443537", "gold fish"]]'),
            ("index.json", '{"0": ["n01440764", "tench"], "1": ["n01443537", "gold fish"]}'),
            ("words.txt", "n01440764 tench\nn01443537 gold fish\n"),
            ("python.txt", "{1: ('n01443537', 'gold fish'), 0: ('n01440764', 'tench')}"),
        ],
    )
    def test_identifiers_and_names(self, name, text, tmp_path):
        (tmp_path / name).write_text(text)
        classes = read_classes(tmp_path / name)
        assert classes == Classes(("n01440764", "n01443537"), ("tench", "gold fish"))
        assert classes.index("n01443537") == classes.index("gold fish") == classes.index(1) == 1

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("[", "is not valid JSON"),
            ("[" * 100_000, "is not valid JSON"),
            ("1" * 5000, "is not valid JSON"),
            ("[]", "names no class"),
            ("3", "expected a list of names"),
            ("[3]", r"expected a name or \[identifier, name\] for a class, but got 3"),
            ('{"0": "ant", "2": "bee"}', 'expected the keys "0" .. "1"'),
            ('{"0": "ant", "0": "bee"}', 'expected the keys "0" .. "1", one a class, each once'),
            ("{0: 'ant', 0: 'bee'}", 'expected the keys "0" .. "1", one a class, each once'),
            ("{0: open('x')}", "is not valid JSON"),
        ],
    )
    def test_other_files_get_a_sentence(self, text, sentence, tmp_path):
        (tmp_path / "classes.json").write_text(text)
        with pytest.raises(ValueError, match=sentence):
            read_classes(tmp_path / "classes.json")

    def test_a_missing_file_gets_a_sentence(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="names of classes"):
            read_classes(tmp_path / "classes.json")

    def test_two_outputs_may_share_a_name_but_then_it_names_neither(self, tmp_path):
        names = ["crane", "ant", "crane"]  # ImageNet has a bird and a machine
        (tmp_path / "classes.json").write_text(json.dumps(names))
        classes = read_classes(tmp_path / "classes.json")
        assert classes.index("ant") == 1
        with pytest.raises(ValueError, match="stands for 2 outputs"):
            classes.index("crane")
        with pytest.raises(ValueError, match="stands for 2 outputs"):
            Classes(("n1", "n2"), ("crane", "crane")).index("crane")

    def test_a_place_beyond_the_last_gets_a_sentence(self):
        with pytest.raises(ValueError, match=r"class 2: expected 0 \.\. 1"):
            Classes.called(["ant", "bee"]).index(2)


def test_a_data_set_in_memory_can_be_opened_too():
    data = generate(train=10, test=20)
    images = DatasetImages(data, limit=10)
    assert len(images) == 10
    assert images.labels == data.test_labels[:10].tolist()
    np.testing.assert_array_equal(np.asarray(images.open(3)), data.test_images[3])
    assert images.title(3) == "built-in drawings, image 3"


def test_a_grey_one_too():
    data = generate(train=10, test=20)
    grey = Dataset(
        "grey",
        data.train_images[..., :1],
        data.train_labels,
        data.test_images[..., :1],
        data.test_labels,
        data.classes,
    )
    image = DatasetImages(grey).open(3)
    np.testing.assert_array_equal(np.asarray(image), np.repeat(grey.test_images[3], 3, axis=2))
    view = Preprocessing.of(grey).normalised(image)
    expected = (grey.test_images[3] - grey.pixel_mean) * grey.channel_scale
    np.testing.assert_allclose(view, expected, atol=1e-5)
