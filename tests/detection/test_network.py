"""Faster R-CNN: its parts, its counts, its gradients, what it must not change."""

import numpy as np
import pytest
from PIL import Image

from minires import Tensor, no_grad
from minires.detection import FasterRCNN, Settings, detect, faster_rcnn, network
from minires.detection.anchors import grid, shapes
from minires.detection.boxes import HEAD_WEIGHTS, encode, iou
from minires.detection.detecting import padded, pixels_of
from minires.detection.pooling import RegionPooling
from minires.detection.proposals import Predictions, ProposalNetwork, proposal_losses, propose
from minires.detection.regions import Regions, detections, region_losses, suppressed_by_class
from minires.detection.small import SETTINGS, small_resnet, small_vgg
from minires.models import resnet
from minires.nn import BasicBlock, BatchNorm2d, Conv2d, GlobalAvgPool, ReLU, Sequential
from minires.nn.module import Parameter
from minires.optim import SGD
from minires.training.freezing import freeze, norms

from ..helpers import leaf

VOC = [f"class {i}" for i in range(20)]
OBJECTS = [np.array([[8.0, 8, 40, 44], [30, 20, 62, 60]]), np.zeros((0, 4))]
LABELS = [np.array([2, 1]), np.zeros(0, np.int64)]


def count(model, *, trained=False):
    return sum(p.data.size for p in model.parameters() if p.requires_grad or not trained)


@pytest.mark.parametrize(
    ("backbone", "parameters", "fixed"),
    [
        ("resnet50", 28_469_983, 9_536 + 215_808 + 53_120 - 128 - 2 * 1_408),
        ("resnet101", 47_462_111, 9_536 + 215_808 + 105_344 - 128 - 2 * 1_408),
        ("vgg16", 137_078_239, 260_160),
    ],
)
def test_parameters_of_the_papers_detectors(backbone, parameters, fixed):
    """By hand; fixed are conv1, conv2_x and all norms (128 and 2,816 numbers of them are in those).

    Of VGG it is the first four convolutions.
    """
    model = faster_rcnn(backbone, VOC, seed="zeros")
    assert count(model) == parameters
    assert count(model) - count(model, trained=True) == fixed


def test_maps_of_the_papers_trunks():
    """Stride 16; VGG's would be 32 with its last pooling."""
    x, options = Tensor(np.zeros((1, 32, 48, 3))), {"seed": "zeros", "dtype": np.float64}
    with no_grad():
        (conv4,) = faster_rcnn("resnet18", VOC, **options).trunk(x)
        (conv5,) = faster_rcnn("vgg16", VOC, **options).trunk(x)
    assert conv4.shape == (1, 2, 3, 256)
    assert conv5.shape == (1, 2, 3, 512)


def test_the_whole_image_as_a_region_has_the_classifiers_features(rng):
    """The map into conv5_x as it is, then the mean: half a pixel less would show."""
    classifier = resnet(18, dtype=np.float64, classes=3, seed=1).eval()
    x = Tensor(rng.standard_normal((1, 64, 64, 3)))
    with no_grad():
        expected = classifier.avgpool(classifier.features(x))
        model = faster_rcnn("resnet18", VOC, network=classifier, dtype=np.float64)
        assert model.pool.size == 14
        model.pool.size = 4  # 14 for images of 224 pixels
        whole = np.array([[0.0, 0, 64, 64]])
        found = model.head(model.pool(model.trunk(x), whole, np.zeros(1, int)))
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-9)


def test_a_network_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="can't start from ResNet-18"):
        faster_rcnn("resnet50", VOC, network=resnet(18, seed="zeros"))
    with pytest.raises(ValueError, match="backbone must be one of"):
        faster_rcnn("alexnet", VOC)


# ------------------------------------------------------------------------ training


class Trunk(Sequential):
    """A convolution with batch norm and a block; the map of stride 8 in a list."""

    def forward(self, x):
        return [super().forward(x)]


def tiny(frozen=True, classes=2, **changes):
    """A detector in float64 whose samples take everything, so that nothing is drawn."""
    changes = {"anchor_sample": 10**6, "region_sample": 10**6, "sizes": ((16, 32),), **changes}
    settings = Settings(border=True, after_nms=(20, 10), least_side=1.0, beta=0.5, **changes)
    rng = np.random.default_rng(1)
    options = {"rng": rng, "dtype": np.float64}
    block = {**options, "shortcut_rng": rng, "shortcut": "B", "stride": 2}
    first = Sequential(
        Conv2d(3, 6, 3, stride=4, padding=1, **options), BatchNorm2d(6, dtype=np.float64), ReLU()
    )
    model = FasterRCNN(
        "tiny",
        Trunk(first, BasicBlock(6, 8, **block)),
        RegionPooling(4, 1 / 8),
        Sequential(BasicBlock(8, 12, **block), GlobalAvgPool()),
        channels=8,
        width=8,
        features=12,
        classes=VOC[:classes],
        settings=settings,
        frozen=frozen,
        fixed=[first] if frozen else [],
        **options,
    )
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.weight = Parameter(rng.uniform(0.3, 0.9, len(module.weight)))
            module.bias = Parameter(0.1 * rng.standard_normal(len(module.bias)))
            module.running_mean = 0.1 * rng.standard_normal(len(module.bias))
            module.running_var = rng.uniform(0.5, 1.5, len(module.bias))
    if frozen:
        freeze([*norms(model), first])
    return model


@pytest.fixture(scope="module")
def images():
    return Tensor(np.random.default_rng(0).standard_normal((2, 64, 80, 3)))


def test_all_gradients_of_the_four_losses(images, monkeypatch):
    """By differences along random directions, through trunk, proposals and head.

    Proposals are held: by the paper's rule no gradient flows through their coordinates.
    """
    model, rng = tiny(), np.random.default_rng(3)
    held = [np.array([[4.0, 4, 44, 50], [20, 10, 70, 60]]), np.array([[0.0, 0, 30, 30]])]
    monkeypatch.setattr(network, "propose", lambda *_, **__: held)
    losses = model.losses(images, OBJECTS, LABELS, rng)
    losses.total.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert all(p.grad is None for p in frozen)
    ways = [rng.standard_normal(p.shape) / np.sqrt(p.data.size) for p in trained]
    slope = sum((p.grad * way).sum() for p, way in zip(trained, ways, strict=True))
    values = []
    for step in (1e-6, -2e-6):
        for p, way in zip(trained, ways, strict=True):
            p[...] = p.data + step * way
        with no_grad():
            values.append(model.losses(images, OBJECTS, LABELS, rng).total.item())
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_an_image_without_objects_has_finite_losses_and_no_boxes(images, rng):
    losses = tiny().losses(images, [OBJECTS[1]] * 2, [LABELS[1]] * 2, rng)
    assert losses.proposal_boxes.item() == losses.boxes.item() == 0.0
    assert np.isfinite(losses.total.item())
    assert (losses.labels == 0).all()
    losses.total.backward()


def test_what_is_frozen_stays_bit_for_bit(images, rng):
    model = tiny(anchor_sample=16, region_sample=8)
    held = {n: p.data.copy() for n, p in model.named_parameters() if not p.requires_grad}
    held |= {n: b.copy() for n, b in model.named_buffers()}
    assert "trunk.0.0.weight" in held
    assert "trunk.1.conv1.weight" not in held
    before = model.trunk[1].conv1.weight.data.copy()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        model.train()
        optimizer.zero_grad()
        model.losses(images, OBJECTS, LABELS, rng).total.backward()
        optimizer.step()
    now = {n: p.data for n, p in model.named_parameters()} | dict(model.named_buffers())
    for name, array in held.items():
        np.testing.assert_array_equal(now[name], array, err_msg=name)
    assert not np.array_equal(model.trunk[1].conv1.weight.data, before)


def test_training_and_evaluation_see_the_same_features(images):
    model = tiny()
    with no_grad():
        maps = [model.train(mode).trunk(images)[0].data for mode in (True, False)]
    np.testing.assert_array_equal(*maps)


def test_from_scratch_everything_is_trained(images, rng):
    model = tiny(frozen=False)
    model.losses(images, OBJECTS, LABELS, rng).total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_single_class_is_learnt(images):
    """Its label is 1: as 0 it would be background."""
    samples = {"anchor_sample": 16, "region_sample": 16}
    model, rng = tiny(frozen=False, classes=1, **samples), np.random.default_rng(0)
    x, labels = Tensor(images.data[:1]), [np.array([1])]
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        model.losses(x, [OBJECTS[0][:1]], labels, rng).total.backward()
        optimizer.step()
    (found,) = model.eval()(x)
    assert found.labels[0] == 1
    assert found.scores[0] > 0.5
    assert iou(OBJECTS[0][:1], found.boxes)[0, 0] > 0.5


@pytest.mark.parametrize("labels", [[0], [3]])
def test_labels_that_are_none_are_refused(labels, images, rng):
    with pytest.raises(ValueError, match=r"must lie in 1 \.\. 2 \(0 is background\)"):
        tiny().losses(images, [OBJECTS[0][:1], OBJECTS[1]], [np.array(labels), LABELS[1]], rng)


def test_two_softmax_channels_are_the_logistic_of_their_difference(rng):
    """A background channels, then A of objects."""
    settings = Settings(sizes=((16,),), ratios=(1.0, 2.0))
    two = ProposalNetwork(4, 8, settings, softmax=True, rng=rng, dtype=np.float64)
    x = leaf(rng.standard_normal((1, 3, 5, 4)))
    logits = two([x], (48, 80))[0].logits.data
    raw = two.cls_logits(two.relu(two.conv(x))).data
    np.testing.assert_allclose(logits.reshape(3, 5, 2), raw[0, ..., 2:] - raw[0, ..., :2])


def test_box_losses_are_over_all_that_was_sampled(rng):
    """Not over the positives; and only the true class's box is trained."""
    boxes = rng.uniform(0, 20, (5, 4)) + np.array([0, 0, 40, 40])
    truth = np.array([[1.0, 2, 50, 60]])
    labels, targets = np.array([2, 0, 0, 0, 0]), np.zeros((5, 4))
    targets[:1] = encode(truth, boxes[:1], HEAD_WEIGHTS)
    codes = leaf(rng.standard_normal((5, 3, 4)))
    regions = Regions(boxes, np.zeros(5, int), labels, targets)
    settings = Settings(beta=1.0)
    _, where = region_losses(leaf(rng.standard_normal((5, 3))), codes, regions, settings)
    far = np.abs(codes.data[0, 2] - targets[0])
    expected = np.where(far < 1, far**2 / 2, far - 0.5).sum() / 5
    assert where.item() == pytest.approx(expected, rel=1e-12)
    where.backward()
    assert set(map(tuple, np.argwhere(np.abs(codes.grad).sum(2)))) == {(0, 2)}


# ------------------------------------------------------------------------ proposals, detections


def test_proposals_are_cut_to_the_image_and_suppress_each_other():
    anchors = np.array([[0.0, 0, 20, 20], [1, 0, 21, 20], [50, 50, 90, 90], [200, 0, 220, 20]])
    logits = np.array([1.0, 2, 3, 4])
    said = Predictions(Tensor(logits[None]), Tensor(np.zeros((1, 4, 4))), anchors)
    (found,) = propose([said], [(60, 80)], Settings(), training=False)
    assert found.tolist() == [[50, 50, 80, 60], [1, 0, 21, 20]]
    few = Settings(before_nms=(9, 2), after_nms=(9, 1))
    (best,) = propose([said], [(60, 80)], few, training=False)
    assert best.tolist() == [[50, 50, 80, 60]]


def test_detections_of_one_image():
    """Per class, best first over all classes; background and unlikely ones are none."""
    boxes = np.array([[0.0, 0, 20, 20], [1, 0, 21, 20], [30, 30, 60, 60]])
    scores = np.array([[0.1, 0.6, 0.3], [0.1, 0.7, 0.2], [0.93, 0.03, 0.04]])
    found = detections(scores, np.zeros((3, 3, 4)), boxes, (100, 100), Settings())
    assert found.labels.tolist() == [1, 2]
    assert found.scores.tolist() == [0.7, 0.3]
    assert found.boxes.tolist() == [[1, 0, 21, 20], [0, 0, 20, 20]]
    only = detections(scores, np.zeros((3, 3, 4)), boxes, (100, 100), Settings(most=1))
    assert only.scores.tolist() == [0.7]


@pytest.mark.parametrize(("apart", "kept"), [(3.332, 80), (3.335, 160)])
def test_boxes_suppress_those_of_their_class_alone(apart, kept):
    """80 classes at coordinates near 4,000, two boxes each, which overlap by a little more than one
    half, or a little less: classes kept apart by shifting would lose the digits that tell."""
    first = np.array([4000.1, 4000.1, 4010.1, 4010.1])
    pair = np.stack([first, first + np.array([apart, 0, apart, 0])]).astype(np.float32)
    boxes, classes = np.repeat(pair, 80, axis=0), np.tile(np.arange(80), 2)
    assert suppressed_by_class(boxes, classes, 0.5).tolist() == list(range(kept))


def test_padding_does_not_change_what_is_found(rng):
    """Boxes are cut to the image without it."""
    model = tiny().eval()
    x = rng.standard_normal((1, 64, 80, 3))
    wide = np.pad(x, ((0, 0), (0, 0), (0, 16), (0, 0)))
    (found,) = model(Tensor(wide), [(64, 80)])
    assert len(found.boxes)
    assert found.boxes[:, 2].max() <= 80


@pytest.mark.parametrize("build", [small_resnet, small_vgg])
def test_small_detectors_see_stride_8(build):
    model = build(VOC[:10], dtype=np.float64).eval()
    x = Tensor(np.zeros((1, 48, 64, 3)))
    with no_grad():
        (maps,) = model.trunk(x)
    assert maps.shape == (1, 6, 8, 64)
    assert SETTINGS.sizes == ((14, 28, 56),)
    assert all(len(column) == len(found.boxes) for found in model(x) for column in found)


@pytest.mark.parametrize(("build", "height"), [(small_resnet, 60), (small_vgg, 47)])
def test_anchors_keep_the_stride_of_the_map(build, height):
    """60 pixels have 8 rows, rounded up, and 47 have 5, rounded down: 7 and 9 pixels for each."""
    model = build(VOC[:1])
    x = Tensor(np.zeros((1, height, 32, 3), np.float32))
    with no_grad():
        (level,) = model.rpn(model.trunk(x), x.shape[1:3])
    middles = (level.anchors[:, 1] + level.anchors[:, 3]) / 2
    assert sorted(set(middles.tolist())) == [8 * row for row in range(8 if height == 60 else 5)]


@pytest.mark.parametrize("border", [True, False])
def test_anchors_of_the_padding_are_no_examples(border):
    """An image of 32 x 32 pixels in a batch of 32 x 64: half of the map's columns are its own.

    The object at its edge is overlapped most by an anchor of a place in the padding.
    """
    settings = Settings(sizes=((8,),), ratios=(1.0,), border=border, anchor_sample=10**6)
    anchors = grid(shapes((8,), (1.0,)), 4, 8, 8)
    truth = np.array([[26.0, 4, 32, 12]])
    assert iou(truth, anchors).argmax() == 12  # row 1, column 4
    said = Predictions(leaf(np.zeros((1, 32))), leaf(np.zeros((1, 32, 4))), anchors)
    losses = proposal_losses([said], [truth], [(32, 32)], settings, np.random.default_rng(0))
    (losses[0] + losses[1]).backward()
    logits, codes = said.logits.grad.reshape(4, 8), said.codes.grad.reshape(4, 8, 4)
    assert (logits[:, 4:] == 0).all()
    assert (codes[:, 4:] == 0).all()
    assert np.argwhere(logits < 0).tolist() == [[1, 3]]  # the only one that shall be an object
    assert np.abs(codes[1, 3]).sum() > 0


def test_images_of_several_sizes_are_a_batch(images, rng):
    """One of 64 x 80 and one of 40 x 33 pixels, with an object at its edge."""
    sizes, edge = [(64, 80), (40, 33)], np.array([[20.0, 20, 33, 40]])
    for model in (tiny(), tiny(frozen=False)):
        losses = model.losses(images, [OBJECTS[0], edge], [LABELS[0], np.array([1])], rng, sizes)
        assert np.isfinite(losses.total.item())
        found = model.eval()(images, sizes)
        assert len(found[1].boxes)
        assert (found[1].boxes.max(axis=0) <= [33, 40, 33, 40]).all()


def test_random_layers_that_would_be_fixed_are_told():
    with pytest.warns(UserWarning, match="random weights are frozen: give `network`"):
        faster_rcnn("resnet18", VOC[:1])


def test_a_classifier_of_grey_images_is_refused():
    with pytest.raises(ValueError, match="3 channels"):
        faster_rcnn("resnet18", VOC, network=resnet(18, channels=1, seed="zeros"))


@pytest.mark.parametrize("objects", [OBJECTS, [OBJECTS[1]] * 2])
def test_broken_weights_have_broken_losses(objects, images, rng):
    """The trainer says so, with the layer: it must get that far."""
    model = tiny()
    model.rpn.conv.weight[...] = np.nan
    labels = [np.ones(len(boxes), int) for boxes in objects]
    with np.errstate(all="ignore"):
        assert np.isnan(model.losses(images, objects, labels, rng).total.item())


@pytest.mark.parametrize("size", [(400, 3), (2, 300), (1, 1)])
@pytest.mark.parametrize("build", [small_resnet, small_vgg])
def test_images_of_any_shape_are_seen(build, size):
    found = detect(build(VOC[:2]), np.zeros((*size, 3), np.uint8))
    assert (found.boxes <= [size[1], size[0]] * 2).all()


def test_the_smallest_image_has_a_map_of_vgg():
    seen = padded([np.zeros((1, 3, 3), np.float32)], 1)
    model = faster_rcnn("vgg16", VOC, seed="zeros")
    with no_grad():
        (conv5,) = model.trunk(Tensor(seen))
    assert conv5.shape == (1, 1, 1, 512)


def test_images_are_grey_or_coloured_but_bytes(rng):
    """Of Pillow's any kind; of arrays RGB alone."""
    grey = Image.fromarray(rng.integers(0, 255, (40, 30), np.uint8))
    assert (pixels_of(grey) == np.asarray(grey)[..., None]).all()
    assert pixels_of(grey.convert("RGBA")).shape == (40, 30, 3)
    levels = np.zeros((40, 30, 3))
    for wrong in (np.asarray(grey), levels, levels.astype(np.uint8)[..., :1], levels[None]):
        with pytest.raises(ValueError, match=r"array of bytes \(uint8\)"):
            detect(small_resnet(VOC[:2]), wrong)
