"""The paper's improvements: refinement with voting, global context, several scales, ensembles."""

from dataclasses import replace

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.detection import detect, faster_rcnn
from minires.detection.boxes import HEAD_WEIGHTS, clip, decode
from minires.detection.context import beside_whole, with_whole
from minires.detection.improving import Improvements, detect_improved, judge
from minires.detection.refinement import likeliest_boxes, vote
from minires.detection.regions import Found, Judged, best_of_each_class, probabilities
from minires.detection.saved import load_saved, save_detector
from minires.detection.scales import Observer, neighbours, view
from minires.detection.small import SETTINGS, small_resnet, small_vgg
from tests.device import gpu

from .slow import overlap

NAMES = ("a", "b", "c")
VIEW = replace(SETTINGS, shorter=48, longer=64, sizes=((12, 24),), after_nms=(30, 12))
PICTURE = np.random.default_rng(5).integers(0, 256, (40, 52, 3)).astype(np.uint8)


def made(seed=0, build=small_resnet, context=False):
    """A detector in float64 whose answers differ from region to region."""
    model = build(NAMES, settings=VIEW, context=context, seed=seed, dtype=np.float64).eval()
    for layer in (model.predictor.cls_score, model.predictor.bbox_pred):
        layer.weight[...] = 20 * layer.weight.data
    return model


def test_without_any_improvement_it_is_the_detector():
    model = made()
    for one, other in zip(
        detect_improved([model], PICTURE, Improvements()), detect(model, PICTURE), strict=True
    ):
        assert len(one) > 3
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------ voting, refinement


def voted_slowly(kept, everything, least):
    """Each box from one sum at a time."""
    rows = []
    for box, label in zip(kept.boxes, kept.labels, strict=True):
        total, weights = np.zeros(4), 0.0
        for other, other_label, score in zip(*everything, strict=True):
            a, b = ((x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in (box, other))
            if other_label == label and overlap(a, b) > least:
                total, weights = total + score * other, weights + score
        rows.append(total / weights)
    return np.array(rows)


@pytest.mark.parametrize("least", [0.5, 0.8])
def test_voting_against_ten_lines(least, rng):
    corners = rng.uniform(0, 12, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 12, (40, 2))], axis=1)
    found = Found(boxes, rng.integers(1, 3, 40), rng.uniform(0.05, 1, 40))
    kept = best_of_each_class(found, VIEW)
    assert 0 < len(kept.boxes) < 40
    result = vote(kept, found, least)
    np.testing.assert_allclose(result.boxes, voted_slowly(kept, found, least), rtol=1e-12)
    assert not np.allclose(result.boxes, kept.boxes)
    np.testing.assert_array_equal(result.scores, kept.scores)


def test_a_box_that_overlaps_by_exactly_the_threshold_does_not_vote():
    boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 2]])
    found = Found(boxes, np.array([1, 1]), np.array([0.9, 0.8]))
    np.testing.assert_array_equal(vote(found, found, 0.5).boxes, boxes)


def test_a_region_goes_on_as_the_box_of_its_likeliest_class():
    """Background aside, cut to the image; what has no area has no features."""
    boxes = np.arange(36.0).reshape(3, 3, 4)
    boxes[..., 2:] += 50
    boxes[2, 1] = [90, 3, 95, 9]
    scores = np.array([[0.9, 0.06, 0.04], [0.1, 0.3, 0.6], [0.1, 0.8, 0.1]])
    expected = [clip(boxes[0, 1], 60, 80), clip(boxes[1, 2], 60, 80)]
    np.testing.assert_array_equal(likeliest_boxes(Judged(scores, boxes), (60, 80)), expected)


def test_refinement_is_two_rounds_that_suppress_each_other_and_vote():
    model = made()
    with no_grad():
        observer = Observer(model, PICTURE)
        first = observer.judge(observer.proposals())
        second = observer.judge(likeliest_boxes(first, PICTURE.shape[:2]))
    both = Judged(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))
    everything = both.likely(PICTURE.shape[:2], VIEW)
    kept = best_of_each_class(everything, VIEW)
    found = detect_improved([model], PICTURE, Improvements(refine=True))
    np.testing.assert_allclose(found.boxes, voted_slowly(kept, everything, 0.5), rtol=1e-9)
    np.testing.assert_allclose(found.scores, kept.scores)
    assert found.scores.tolist() != detect(model, PICTURE).scores.tolist()


# ------------------------------------------------------------------------ global context


@pytest.mark.parametrize(
    ("build", "parameters"),
    [(small_resnet, 747_124 + 128 * 5 * 11), (small_vgg, 1_143_124 + 256 * 5 * 11)],
)
def test_context_doubles_what_the_last_layers_read(build, parameters):
    """Small detectors of ten classes: 11 scores, 44 codes."""
    model = build([f"class {i}" for i in range(10)], context=True)
    assert sum(p.data.size for p in model.parameters()) == parameters


def test_context_of_the_papers_detector():
    model = faster_rcnn("resnet101", [f"class {i}" for i in range(20)], context=True, seed="zeros")
    assert model.predictor.cls_score.weight.shape[0] == 4096
    assert sum(p.data.size for p in model.parameters()) == 47_462_111 + 2048 * 5 * 21


def test_each_region_has_the_features_of_its_own_image(rng):
    boxes, images = rng.uniform(0, 9, (4, 4)), np.array([0, 0, 1, 0])
    seen, places = with_whole(boxes, images, [(30, 40), (20, 10)])
    assert seen[4:].tolist() == [[0, 0, 40, 30], [0, 0, 10, 20]]
    assert places.tolist() == [0, 0, 1, 0, 0, 1]
    features = rng.standard_normal((6, 3))
    expected = [np.concatenate([features[i], features[4 + images[i]]]) for i in range(4)]
    np.testing.assert_array_equal(beside_whole(Tensor(features), places).data, expected)


def test_context_is_the_whole_image_through_the_same_head(rng):
    model = made(context=True)
    x, box = Tensor(rng.standard_normal((2, 48, 64, 3))), np.array([[4.0, 6, 40, 30]])
    with no_grad():
        maps = model.trunk(x)
        one = np.ones(1, np.int64)
        features = [
            model.head(model.pool(maps, boxes, one)).data
            for boxes in (box, np.array([[0.0, 0, 64, 40]]))
        ]
        logits = model.predictor.cls_score(Tensor(np.concatenate(features, axis=1)))
        found = model.of_regions(maps, box, one, [(48, 64), (40, 64)])[0]
    np.testing.assert_allclose(found.data, logits.data, rtol=1e-9)


def test_context_is_trained_and_saved(rng, tmp_path):
    model = small_resnet(NAMES, settings=VIEW, context=True).train()
    x = Tensor(rng.standard_normal((2, 48, 64, 3)).astype(np.float32))
    objects = [np.array([[4.0, 4, 30, 30]]), np.zeros((0, 4))]
    model.losses(x, objects, [np.array([2]), np.zeros(0, np.int64)], rng).total.backward()
    gradient = model.predictor.cls_score.weight.grad
    assert np.abs(gradient[:128]).sum() > 0
    assert np.abs(gradient[128:]).sum() > 0
    loaded = load_saved(save_detector(model, tmp_path / "detector.safetensors"))
    for one, other in zip(detect(loaded, PICTURE), detect(model, PICTURE), strict=True):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------------ several scales


def test_the_two_scales_between_which_a_region_has_the_right_size():
    """Wanted are 224 pixels, of images at 1/2, 1 and 2 times their size."""
    sides = np.array([1000.0, 300, 223, 225, 150, 30])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)
    assert neighbours(boxes, (0.5, 1, 2), 224).tolist() == [0, 0, 1, 0, 1, 1]


@pytest.mark.parametrize("context", [False, True])
def test_two_scales_against_one_region_at_a_time(context):
    """The larger of each two numbers that the same box has on the maps of both images."""
    model, scales = made(context=context), (32, 48, 64)
    with no_grad():
        observer = Observer(model, PICTURE, scales)
        boxes = observer.proposals()
        judged = observer.judge(boxes)
        views = [view(model, PICTURE, side) for side in scales]
        assert [one.size for one in views] == [(32, 41), (48, 62), (64, 83)]
        whole = [np.array([0.0, 0, 52, 40])] if context else []
        rows = []
        for box in [*boxes, *whole]:
            side = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
            small = 0 if side * views[1].ratio[0] >= 64 else 1  # 8 bins of 8 pixels
            pair = [
                model.pool(one.maps, (box * one.ratio)[None], np.zeros(1, int)).data
                for one in views[small : small + 2]
            ]
            rows.append(np.maximum(*pair))
        features = model.head(Tensor(np.concatenate(rows))).data
        if context:
            features = np.concatenate([features[:-1], features[-1:].repeat(len(boxes), 0)], axis=1)
        logits, codes = (part.data for part in model.predictor(Tensor(features)))
    np.testing.assert_allclose(judged.scores, probabilities(logits), rtol=1e-9)
    expected = decode(codes, boxes[:, None], HEAD_WEIGHTS)
    np.testing.assert_allclose(judged.boxes, expected, rtol=1e-9)


def test_proposals_come_from_the_detectors_own_size():
    model = made()
    with no_grad():
        one, several = (Observer(model, PICTURE, s).proposals() for s in ((), (32, 80)))
    np.testing.assert_array_equal(one, several)
    assert one.max(axis=0)[2:].tolist() <= [52, 40]


@pytest.mark.parametrize("scales", [(48,), (64, 48), (8, 64)])
def test_scales_that_are_none_are_refused(scales):
    with pytest.raises(ValueError, match="scales must be two or more rising sides"):
        Improvements(scales=scales)


# ------------------------------------------------------------------------ ensembles


def test_an_ensemble_averages_what_each_says_of_the_proposals_of_all():
    models = [made(1), made(2, small_vgg), made(3)]
    with no_grad():
        observers = [Observer(model, PICTURE) for model in models]
        proposals = np.concatenate([observer.proposals() for observer in observers])
        said = [observer.judge(proposals) for observer in observers]
        together = judge(observers, proposals)
    scores = sum(one.scores for one in said) / 3
    boxes = sum(one.boxes for one in said) / 3
    np.testing.assert_allclose(together.scores, scores)
    np.testing.assert_allclose(together.boxes, boxes)
    expected = best_of_each_class(Judged(scores, boxes).likely((40, 52), VIEW), VIEW)
    found = detect_improved(models, PICTURE, Improvements())
    np.testing.assert_allclose(found.boxes, expected.boxes)
    assert found.labels.tolist() == expected.labels.tolist()


def test_an_ensemble_of_one_detector_thrice_is_the_detector():
    model = made()
    for one, other in zip(
        detect_improved([model] * 3, PICTURE, Improvements()), detect(model, PICTURE), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_detectors_of_other_classes_are_no_ensemble():
    other = small_resnet(("a", "b"), settings=VIEW)
    with pytest.raises(ValueError, match="must have the same classes"):
        detect_improved([made(), other], PICTURE, Improvements())


def test_all_together():
    models = [made(seed, context=True) for seed in range(2)]
    found = detect_improved(models, PICTURE, Improvements(refine=True, scales=(40, 56)))
    assert len(found.boxes) == len(found.labels) == len(found.scores) > 0
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.cuda
def test_on_a_gpu_they_find_the_same():
    model, options = made(context=True), Improvements(refine=True, scales=(32, 48))
    right = detect_improved([model], PICTURE, options)
    with gpu():
        found = detect_improved([model.to("cuda")], PICTURE, options)
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-7)
