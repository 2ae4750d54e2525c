"""Every argument of the public calls, of 14 wrong kinds: taken, or refused by a sentence of ours.

`tests/arguments.py` says what a sentence is; `test_arguments_of_rooms.py` does the same for
analysis, detection, evaluation, exercises and the report.
"""

import numpy as np
import pytest

import minires
from minires import Tensor, data, evaluation, models, nn, optim, own_images, training, weights
from minires.nn import functional as F

from .arguments import WRONG, what_breaks, whole, world_in


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return world_in(tmp_path_factory.mktemp("world"))


x = Tensor(np.ones((2, 8, 8, 3), np.float32))
w, channels = Tensor(np.ones((3, 3, 3, 4), np.float32)), Tensor(np.ones(3, np.float32))
logits, ones = Tensor(np.ones((2, 4), np.float32)), np.ones(3, np.float32)
line = training.LinearDecay(0.1, 0, 3)
rhythm = {"record_every": 1, "evaluate_every": 3, "checkpoint_every": 3}


def parameters():
    return nn.Linear(2, 2).parameters()


CALLS = {
    "Tensor": (Tensor, whole(data=x.data)),
    "concatenate": (minires.concatenate, whole(tensors=[x, x], axis=0)),
    "stack": (minires.stack, whole(tensors=[x, x], axis=0)),
    "pad": (minires.pad, whole(x=x, widths=1, value=0.0)),
    "where": (minires.where, whole(condition=x > 0, a=x, b=x)),
    "recompute": (minires.recompute, whole(f=F.relu, x=x)),
    "gradcheck": (
        lambda f, array, rng: minires.gradcheck(f, array, rng=rng),
        lambda it: {"f": F.relu, "array": np.ones((2, 2)), "rng": it["rng"]},
    ),
    "precision": (minires.precision, whole(name="float32")),
    "seed": (minires.seed, whole(number=0)),
    "Conv2d": (
        nn.Conv2d,
        whole(
            in_channels=3,
            out_channels=4,
            kernel_size=3,
            stride=1,
            padding=1,
            dilation=1,
            groups=1,
            bias=True,
        ),
    ),
    "Linear": (nn.Linear, whole(in_features=3, out_features=4, bias=True)),
    "BatchNorm2d": (nn.BatchNorm2d, whole(channels=3, eps=1e-5, momentum=0.1)),
    "MaxPool2d": (nn.MaxPool2d, whole(kernel_size=2, stride=2, padding=0)),
    "AvgPool2d": (nn.AvgPool2d, whole(kernel_size=2, stride=2, padding=0)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d, whole(size=1)),
    "Dropout": (nn.Dropout, whole(p=0.5)),
    "PReLU": (nn.PReLU, whole(channels=1, start=0.25)),
    "Parameter": (nn.Parameter, whole(data=x.data)),
    "Sequential": (lambda layer: nn.Sequential(layer), whole(layer=nn.ReLU())),
    "ModuleList": (nn.ModuleList, whole(modules=[nn.ReLU()])),
    "CrossEntropyLoss": (nn.CrossEntropyLoss, whole(weight=None, label_smoothing=0.0)),
    "WeightAverage": (nn.WeightAverage, lambda it: {"model": it["network"], "decay": 0.9}),
    "evaluating": (lambda model: nn.evaluating(model), lambda it: {"model": it["network"]}),
    "fold_batch_norm": (nn.fold_batch_norm, lambda it: {"model": it["network"]}),
    "summary": (
        nn.summary,
        lambda it: {"model": it["network"], "input_shape": (32, 32, 3)},
    ),
    "conv2d": (
        F.conv2d,
        whole(
            x=x, weight=w, bias=None, stride=1, padding=1, dilation=1, groups=1, algorithm="auto"
        ),
    ),
    "batch_norm": (F.batch_norm, whole(x=x, gamma=channels, beta=channels, eps=1e-5)),
    "batch_norm_eval": (
        F.batch_norm_eval,
        whole(x=x, gamma=channels, beta=channels, mean=ones, var=ones, eps=1e-5),
    ),
    "max_pool": (F.max_pool, whole(x=x, size=2, stride=2, padding=0)),
    "avg_pool": (F.avg_pool, whole(x=x, size=2, stride=2, padding=0)),
    "global_avg_pool": (F.global_avg_pool, whole(x=x)),
    "relu": (F.relu, whole(x=x)),
    "softmax": (F.softmax, whole(x=logits, axis=1)),
    "log_softmax": (F.log_softmax, whole(x=logits, axis=1)),
    "cross_entropy": (
        F.cross_entropy,
        whole(logits=logits, labels=np.array([0, 1]), weight=None, label_smoothing=0.0),
    ),
    "subsample_and_pad": (F.subsample_and_pad, whole(x=x, channels=8, stride=2)),
    "smooth_l1": (F.smooth_l1, whole(predictions=logits, targets=logits.data)),
    "logistic_cross_entropy": (
        F.logistic_cross_entropy,
        whole(logits=logits, truth=logits.data),
    ),
    "SGD": (
        optim.SGD,
        lambda _: {
            "parameters": parameters(),
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "nesterov": False,
        },
    ),
    "AdamW": (
        optim.AdamW,
        lambda _: {"parameters": parameters(), "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8},
    ),
    "Groups": (lambda one: optim.Groups(one), lambda _: {"one": optim.SGD(parameters(), 0.1)}),
    "clip_gradients": (
        optim.clip_gradients,
        lambda _: {"parameters": parameters(), "max_norm": 1.0},
    ),
    "load": (data.load, whole(name="builtin", data_dir=None)),
    "Dataset": (
        lambda images, labels, classes: data.Dataset("x", images, labels, images, labels, classes),
        lambda it: {"images": it["split"][0], "labels": it["split"][1], "classes": it["split"][4]},
    ),
    "Batches": (data.Batches, lambda it: {"dataset": it["data"], "batch_size": 4, "seed": 0}),
    "evaluation_batches": (
        lambda **given: list(data.evaluation_batches(**given)),
        lambda it: {"dataset": it["data"], "split": "test", "batch_size": 4},
    ),
    "DatasetImages": (data.DatasetImages, lambda it: {"dataset": it["data"], "split": "test"}),
    "find_images": (data.find_images, lambda it: {"folder": it["images"]}),
    "find_photographs": (
        data.find_photographs,
        lambda it: {
            "folder": it["images"],
            "size": 16,
            "sides": (16, 20),
            "share": 0.2,
            "seed": 0,
        },
    ),
    "open_image": (data.open_image, lambda it: {"path": it["images"] / "a" / "0.png"}),
    "read_classes": (data.read_classes, lambda it: {"path": it["folder"] / "classes.txt"}),
    "mixup": (
        data.mixup,
        lambda it: {"images": x.data, "labels": np.array([0, 1]), "classes": 4, "rng": it["rng"]},
    ),
    "cifar_resnet": (
        models.cifar_resnet,
        whole(depth=8, shortcut="A", classes=10, channels=3, seed="zeros"),
    ),
    "resnet": (models.resnet, whole(depth=18, classes=3, channels=3, seed="zeros")),
    "vgg": (
        lambda depth, classes: models.vgg(depth, classes=classes, seed="zeros"),
        whole(depth=16, classes=2),
    ),
    "by_name": (models.by_name, whole(name="resnet8")),
    "CosineDecay": (training.CosineDecay, whole(peak=0.1, start=0, stop=10)),
    "LinearDecay": (training.LinearDecay, whole(peak=0.1, start=0, stop=10)),
    "StepDecay": (training.StepDecay, whole(peak=0.1, drops=(3, 5))),
    "LinearWarmUp": (training.LinearWarmUp, whole(steps=3, then=line)),
    "ConstantWarmUp": (training.ConstantWarmUp, whole(steps=3, lr=0.1, then=line)),
    "Recipe": (
        training.Recipe,
        whole(name="r", iterations=3, batch_size=4, schedule=line, **rhythm),
    ),
    "Trainer": (
        training.Trainer,
        lambda it: {
            "model": it["network"],
            "dataset": it["data"],
            "recipe": it["recipe"],
            "folder": it["folder"] / "run",
            "seed": 0,
            "name": "n",
            "device": None,
            "watch": None,
            "overwrite": False,
        },
    ),
    "evaluate_split": (
        training.evaluate_split,
        lambda it: {"model": it["network"], "dataset": it["data"]},
    ),
    "classify": (evaluation.classify, lambda it: {"models": [it["two"]], "image": it["picture"]}),
    "evaluate": (
        evaluation.evaluate,
        lambda it: {"models": {"m": it["two"]}, "images": it["files"]},
    ),
    "predict": (evaluation.predict, lambda it: {"model": it["network"], "views": [x.data[0]]}),
    "score_map": (evaluation.score_map, lambda it: {"model": it["network"], "images": x}),
    "export_onnx": (weights.export_onnx, lambda it: {"model": it["two"], "path": "x.onnx"}),
    "load_torchvision": (
        weights.load_torchvision,
        lambda it: {"path": it["folder"] / "w.pth", "model": it["network"]},
    ),
    "save_torchvision": (
        weights.save_torchvision,
        lambda it: {"model": it["network"], "path": it["folder"] / "y.pth"},
    ),
    "begin": (own_images.begin, whole(network="resnet8", weights=None, classes=2, seed=0)),
    "freeze_layers": (
        own_images.freeze_layers,
        lambda it: {"model": it["two"], "names": [], "batch_size": 4, "pretrained": False},
    ),
    "recipe_of": (
        own_images.recipe_of,
        whole(preset="toy", images=20, epochs=1, batch_size=4, lr=0.1),
    ),
    "PhotographTrainer": (
        own_images.PhotographTrainer,
        lambda it: {
            "model": it["two"],
            "data": it["photographs"],
            "recipe": own_images.recipe_of("toy", 10),
            "about": {},
            "folder": it["folder"] / "own",
            "seed": 0,
            "name": "n",
        },
    ),
    "save_network": (
        own_images.save_network,
        lambda it: {
            "model": it["two"],
            "data": it["photographs"],
            "path": it["folder"] / "z.safetensors",
        },
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_another_kind_is_taken_or_refused(name, world, tmp_path, monkeypatch):
    """76 calls, 212 arguments, 14 kinds: 2,968 tries."""
    if name == "export_onnx":
        pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    call, arguments = CALLS[name]
    call(**arguments(world))
    assert not list(what_breaks(call, lambda: arguments(world)))


def test_the_sweep_is_as_large_as_it_says(world):
    arguments = [argument for _, of in CALLS.values() for argument in of(world)]
    assert (len(CALLS), len(arguments), len(WRONG)) == (76, 213, 14)
