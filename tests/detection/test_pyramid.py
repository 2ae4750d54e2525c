"""torchvision's detector with a pyramid: its maps, levels, names in files; and photographs."""

import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

from minires import Tensor
from minires.detection import Found, detecting, faster_rcnn_fpn, load_detector, pyramid, weights
from minires.detection.commands import found_lines, likely
from minires.detection.detecting import detect, enlarge, prepare
from minires.detection.draw import draw_found
from minires.detection.pooling import PyramidPooling
from minires.detection.pyramid import Pyramid
from minires.nn import functional as F
from minires.weights.reading import Lazy
from minires.weights.torchvision import slots_of
from tests.detection.numbers_for_oracles import in_torchvision


def name_in_file(name, *, older):
    """Our name in torchvision's words; older files have no ".0" of a wrapped convolution."""
    name = in_torchvision(name)
    if older:
        return re.sub(r"(_blocks\.\d)\.0\.", r"\1.", name.replace("conv.0.0.", "conv."))
    return name


@pytest.fixture(scope="module")
def model():
    return faster_rcnn_fpn([f"class {i}" for i in range(90)], seed="zeros")


def entries_of(model, *, older, counters=False):
    """What a file of torchvision's holds; numbers are made when they are asked for."""
    entries = {}
    for number, (name, slot) in enumerate(slots_of(model).items()):
        load = partial(np.full, slot.torch_shape, number, np.float32)
        entries[name_in_file(name, older=older)] = Lazy(slot.torch_shape, load)
    if counters:
        entries["backbone.body.bn1.num_batches_tracked"] = Lazy((), partial(np.zeros, ()))
    return entries


def test_the_state_has_torchvisions_size(model):
    slots = slots_of(model)
    assert len(slots) == 295
    assert sum(np.prod(slot.torch_shape) for slot in slots.values()) == 41_861_526


@pytest.mark.parametrize("older", [True, False])
def test_older_and_newer_names_are_read(model, older, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "read_state", lambda path: entries_of(model, older=older))
    loaded = load_detector(tmp_path / "file.pth")
    state = loaded.state_dict()
    for number, name in enumerate(slots_of(model)):
        assert (state[name] == number).all(), name
    assert not loaded.training
    assert (loaded.classes[0], loaded.classes[89], len(loaded.classes)) == (
        "person",
        "toothbrush",
        90,
    )
    assert loaded.trunk.body.bn1.eps == 0


def test_norms_that_were_trained_have_another_eps(model, monkeypatch, tmp_path):
    held = entries_of(model, older=False, counters=True)
    monkeypatch.setattr(weights, "read_state", lambda path: held)
    assert load_detector(tmp_path / "file.pth").trunk.body.layer1[0].bn2.eps == 1e-5


def test_files_of_something_else_are_refused(model, monkeypatch, tmp_path):
    held = {"conv1.weight": Lazy((64, 3, 7, 7), lambda: None)}
    monkeypatch.setattr(weights, "read_state", lambda path: held)
    with pytest.raises(ValueError, match="no detector that can be read"):
        load_detector(tmp_path / "file.pth")
    held = entries_of(model, older=True)
    held.pop("roi_heads.box_head.fc6.bias")
    with pytest.raises(ValueError, match=r"missing: head.fc6.bias \(1024,\)"):
        load_detector(tmp_path / "file.pth")
    with pytest.raises(ValueError, match="has 90 classes beside the background, but 2 are named"):
        load_detector(tmp_path / "file.pth", classes=["a", "b"])


def test_the_names_of_coco():
    """By the ids: 10 of 1 .. 90 were never given."""
    names = weights.COCO_NAMES
    assert [names.index(n) + 1 for n in ("dog", "stop sign", "tv", "book")] == [18, 13, 72, 84]
    unused = [i for i, name in enumerate(names, 1) if name == weights.UNUSED]
    assert unused == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]


def test_the_maps_of_a_pyramid(monkeypatch, rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    monkeypatch.setattr(pyramid, "CHANNELS", 4)
    ours = Pyramid((2, 3), rng=rng, dtype=np.float64)
    maps = [rng.standard_normal((1, 6, 8, 2)), rng.standard_normal((1, 3, 4, 3))]
    found = ours([Tensor(x) for x in maps])

    def convolved(x, layer):
        weight = torch.tensor(layer.weight.data.transpose(3, 2, 0, 1))
        bias, padding = torch.tensor(layer.bias.data), layer.padding
        return torch.nn.functional.conv2d(x, weight, bias, padding=padding)

    fine, coarse = (torch.tensor(x.transpose(0, 3, 1, 2)) for x in maps)
    top = convolved(coarse, ours.inner_blocks[1])
    larger = torch.nn.functional.interpolate(top, size=(6, 8), mode="nearest")
    second = convolved(top, ours.layer_blocks[1])
    first = convolved(convolved(fine, ours.inner_blocks[0]) + larger, ours.layer_blocks[0])
    third = torch.nn.functional.max_pool2d(second, 1, 2, 0)
    for x, right in zip(found, (first, second, third), strict=True):
        np.testing.assert_allclose(x.data, right.numpy().transpose(0, 2, 3, 1), atol=1e-12)


def test_regions_are_pooled_from_the_map_of_their_size(rng):
    """224 pixels belong to the third map; the order of the regions stays."""
    sides = np.array([500.0, 20, 224, 223, 112, 447, 448, 5000])
    boxes = np.stack([sides * 0, sides * 0, sides, sides], axis=1)
    pool = PyramidPooling(2, (1 / 4, 1 / 8, 1 / 16, 1 / 32))
    levels = pool.levels(boxes)
    assert levels.tolist() == [3, 0, 2, 1, 1, 2, 3, 3]
    maps = [Tensor(rng.standard_normal((1, 8, 8, 3))) for _ in range(4)]
    found = pool(maps, boxes, np.zeros(8, int))
    for place, level in enumerate(levels):
        settings = {"size": (2, 2), "scale": pool.scales[level], "sampling": 2, "aligned": False}
        one = F.roi_align(maps[level], boxes[[place]], np.zeros(1, int), **settings)
        np.testing.assert_array_equal(found.data[place], one.data[0])


# ------------------------------------------------------------------------ photographs


@pytest.mark.parametrize("size", [(13, 9), (20, 31)])
def test_images_are_resized_as_torch_does(size, rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    image = rng.standard_normal((16, 12, 3))
    planes = torch.tensor(image.transpose(2, 0, 1))[None]
    right = torch.nn.functional.interpolate(planes, size=size, mode="bilinear")
    found = enlarge(image, size)
    np.testing.assert_allclose(found, right[0].numpy().transpose(1, 2, 0), atol=1e-12)


def test_an_image_is_scaled_normalised_and_padded():
    white = np.full((375, 500, 3), 255, np.uint8)
    x, size = prepare(white, pyramid.SETTINGS, np.float32)
    assert size == (800, 1066)
    assert x.shape == (1, 800, 1088, 3)
    np.testing.assert_allclose(
        x[0, 0, 0], (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], rtol=1e-5
    )
    assert (x[0, :, 1066:] == 0).all()


def test_boxes_come_back_in_the_images_pixels(monkeypatch):
    """By the real ratio of each axis: 800 x 1066 is not quite 375 x 500 enlarged."""
    model = faster_rcnn_fpn(["a"], seed="zeros").eval()
    whole = Found(np.array([[0, 0, 533, 400]], np.float32), np.array([1]), np.array([0.9]))
    monkeypatch.setattr(type(model), "forward", lambda self, x, sizes: [whole])
    monkeypatch.setattr(detecting, "prepare", lambda *_: (np.zeros((1, 8, 8, 3)), (800, 1066)))
    found = detect(model, np.zeros((375, 500, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, [[0, 0, 250, 187.5]], rtol=1e-6)


def test_broken_weights_are_named():
    model = faster_rcnn_fpn(["a"], seed="zeros")
    model.rpn.conv.bias[0] = np.nan
    nothing = Found(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    with pytest.raises(ValueError, match=r"rpn\.conv\.bias of the ResNet-50-FPN are not finite"):
        detecting.refuse_broken(model, nothing)


def test_what_is_found_is_told_and_drawn(tmp_path):
    found = Found(np.array([[1.0, 2, 9, 8], [0, 0, 3, 3]]), np.array([2, 1]), np.array([0.91, 0.2]))
    chosen = likely(found, 0.5)
    assert found_lines(chosen, ("cat", "dog")) == [
        "  dog                   91%  x 1 to 9, y 2 to 8"
    ]
    path = draw_found(Image.new("RGB", (40, 30)), chosen, ("cat", "dog"), tmp_path / "out.png")
    assert np.asarray(Image.open(path)).any()
