"""The protocols agree with the same ones in PyTorch, written another way, on the same weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageOps

from minires import Tensor, no_grad
from minires.data import Preprocessing
from minires.evaluation import MultiScale, SingleCrop, TenCrop, predict, score_map
from minires.models import resnet18
from minires.models.vgg import VGG

from ..data import test_images as rules
from ..data.photographs import photograph
from ..helpers import generators, randomise
from ..torch_oracle import images_to_torch, torch, weight_to_torch
from .networks import SIDE, Flattened, Pooled

RESIZE = 30
PREPROCESSING = Preprocessing(RESIZE, SIDE)
sides = st.integers(30, 60)


def torch_features(model, x):
    weight = weight_to_torch(model.conv.weight.data)
    convolution = torch.nn.functional.conv2d(x, weight, stride=model.conv.stride, padding=1)
    return convolution.relu()


def linear(layer, x):
    return x @ torch.from_numpy(layer.weight.data) + torch.from_numpy(layer.bias.data)


def torch_head(model, window):
    """Scores of one window of the features, (N, C, h, w)."""
    if isinstance(model, Pooled):
        return linear(model.fc, window.mean((2, 3)))
    flat = window.permute(0, 2, 3, 1).flatten(1)
    return linear(model.classifier[2], linear(model.classifier[0], flat).relu())


def torch_scores(model, view, dense):
    """Probabilities of one view; `dense` slides the head's window over the features."""
    maps = torch_features(model, images_to_torch(view[None].astype(np.float64)))
    size = 6 if isinstance(model, Flattened) else 1
    if not dense:
        return torch_head(model, maps).softmax(1)[0].numpy()
    height, width = maps.shape[2] - size + 1, maps.shape[3] - size + 1
    windows = [maps[:, :, i : i + size, j : j + size] for i in range(height) for j in range(width)]
    scores = torch.stack([torch_head(model, window) for window in windows])
    return scores.mean(0).softmax(1)[0].numpy()


def mean_of_views(model, views, *, dense=False):
    return np.mean([torch_scores(model, view, dense) for view in views], axis=0)


def ours(model, image, protocol):
    views = protocol.views(image, PREPROCESSING)
    assert len(views) == protocol.views_per_image
    dense = protocol.fully_convolutional
    return predict(model, views, fully_convolutional=dense).mean(axis=0)


def network(kind, rng):
    model = kind()
    randomise(model, rng)
    return model


@pytest.mark.parametrize("kind", [Pooled, Flattened])
class TestProtocols:
    @given(generators, sides, sides)
    def test_single_crop(self, kind, rng, width, height):
        model, image = network(kind, rng), photograph(rng, width, height)
        resized = rules.resized_by_the_rules(image, RESIZE)
        view = rules.tensor_by_the_rules(rules.middle_by_the_rules(resized, SIDE))
        expected = mean_of_views(model, [view])
        np.testing.assert_allclose(ours(model, image, SingleCrop()), expected, rtol=1e-9)

    @given(generators, sides, sides)
    def test_ten_crops(self, kind, rng, width, height):
        model, image = network(kind, rng), photograph(rng, width, height)
        resized = rules.resized_by_the_rules(image, RESIZE)
        crops = rules.five_by_the_rules(resized, SIDE)
        crops += rules.five_by_the_rules(ImageOps.mirror(resized), SIDE)
        expected = mean_of_views(model, [rules.tensor_by_the_rules(crop) for crop in crops])
        np.testing.assert_allclose(ours(model, image, TenCrop()), expected, rtol=1e-9)

    @given(generators, sides, sides)
    def test_multi_scale(self, kind, rng, width, height):
        model, image = network(kind, rng), photograph(rng, width, height)
        views = []
        for scale in (24, 33):
            resized = rules.resized_by_the_rules(image, scale)
            views += [resized, ImageOps.mirror(resized)]
        views = [rules.tensor_by_the_rules(view) for view in views]
        expected = mean_of_views(model, views, dense=True)
        np.testing.assert_allclose(ours(model, image, MultiScale((24, 33))), expected, rtol=1e-9)


def test_at_the_size_it_was_made_for_the_map_is_one_score(rng):
    for kind in (Pooled, Flattened):
        model, x = network(kind, rng), Tensor(rng.standard_normal((2, SIDE, SIDE, 3)))
        scores = score_map(model, x)
        if kind is Flattened:
            assert scores.shape == (2, 1, 1, 7)
        np.testing.assert_allclose(scores.data.mean((1, 2)), model(x).data, rtol=1e-12, atol=1e-12)


def test_an_image_too_small_for_the_classifier_gets_a_sentence(rng):
    with pytest.raises(ValueError, match=r"made for maps of 6 x 6.*only 4 x 5: use larger images"):
        score_map(Flattened(), Tensor(rng.standard_normal((1, 16, 20, 3))))


def test_views_come_back_in_order_however_they_were_grouped(rng):
    model = network(Pooled, rng)
    shapes = [(24, 24), (24, 30), (24, 24), (30, 24), (24, 30), (24, 24)]
    views = [rng.standard_normal((*shape, 3)).astype(np.float32) for shape in shapes]
    together = predict(model, views, batch_pixels=2 * 24 * 24)
    one_by_one = [predict(model, [view])[0] for view in views]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-9)
    assert model.training  # its mode is put back


def test_vgg_slides_its_classifier_over_a_larger_map(rng):
    options = {"batch_norm": False, "dropout": 0.5, "dtype": np.float32, "hidden": 16}
    model = VGG(16, classes=5, seed=0, **options).eval()
    image = rng.standard_normal((1, 256, 288, 3)).astype(np.float32)
    with no_grad():
        scores = score_map(model, Tensor(image)).data
        maps = model.features(Tensor(image)).data
        windows = [maps[:, i : i + 7, j : j + 7] for i in range(2) for j in range(3)]
        expected = [model.classifier(Tensor(w.reshape(1, -1).copy())).data for w in windows]
    assert scores.shape == (1, 2, 3, 5)
    np.testing.assert_allclose(scores.reshape(6, 5), np.concatenate(expected), atol=1e-4, rtol=1e-4)


def test_torchvisions_resnet_on_torchvisions_crops_gives_the_same_probabilities(tmp_path, rng):
    torchvision = pytest.importorskip("torchvision", reason="needs torchvision")
    from minires.weights import save_torchvision

    model = resnet18(classes=10)
    randomise(model, rng)
    save_torchvision(model, tmp_path / "weights.pth")
    theirs = torchvision.models.resnet18(num_classes=10).eval()
    theirs.load_state_dict(torch.load(tmp_path / "weights.pth"))
    t = torchvision.transforms
    normalise = t.Normalize(rules.IMAGENET_MEAN, rules.IMAGENET_STD)
    crops = t.Compose(
        [
            t.Resize(256),
            t.TenCrop(224),
            t.Lambda(lambda ten: torch.stack([normalise(t.ToTensor()(crop)) for crop in ten])),
        ]
    )
    image = photograph(rng, 300, 260)
    with torch.no_grad():
        expected = theirs(crops(image)).softmax(1).mean(0).numpy()
    ten = predict(model, TenCrop().views(image, Preprocessing())).mean(axis=0)
    np.testing.assert_allclose(ten, expected, rtol=1e-3, atol=1e-6)
