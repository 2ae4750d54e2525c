"""Records what torchvision computes, into `torchvision.npz` beside this file.

    pip download --no-deps torchvision==0.28.0 && python -m zipfile -e torchvision-*.whl FOLDER
    python -m tests.detection.record_torchvision FOLDER

from the repository's folder, beside torch 2.13 for the CPU. The tests compare with the record, and
need no torchvision.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from minires.weights.torchvision import slots_of

from . import numbers_for_oracles as cases
from . import torchvision_on_cpu
from .numbers_for_oracles import in_torchvision, noise, values

torchvision_on_cpu.load(Path(sys.argv[1]))
from torchvision import ops  # noqa: E402
from torchvision.models import detection, resnet18, vgg16  # noqa: E402
from torchvision.models.detection import _utils, anchor_utils, rpn  # noqa: E402

PLACE = Path(__file__).with_name("torchvision.npz")


def planes(array):
    """(N, H, W, C) -> (N, C, H, W)."""
    return torch.tensor(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def images_of(tensor):
    """(N, C, H, W) -> (N, H, W, C)."""
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def both_ways(pool, **settings):
    """What is pooled, and the gradient of the map."""
    x, boxes, images = cases.regions(upright=pool is ops.roi_align)
    leaf = planes(x).requires_grad_()
    y = pool(leaf, torch.tensor(np.column_stack([images, boxes])), **settings)
    y.backward(planes(noise("cotangent", len(boxes), *y.shape[2:], x.shape[3])))
    return images_of(y), images_of(leaf.grad)


def operations():
    for size in cases.SIZES:
        options = {"output_size": size, "spatial_scale": cases.SCALE}
        name = f"{size[0]}x{size[1]}"
        yield f"max {name}", both_ways(ops.roi_pool, **options)
        for aligned, sampling in cases.ALIGNED:
            more = {"aligned": aligned, "sampling_ratio": sampling}
            key = f"align {name} {aligned} {sampling}"
            yield key, both_ways(ops.roi_align, **options, **more)
    boxes = torch.tensor(cases.overlapping())
    scores = torch.arange(len(boxes), 0, -1).double()
    for threshold in cases.THRESHOLDS:
        yield f"nms {threshold}", [ops.nms(boxes, scores, threshold).numpy()]
    few, anchors = boxes[:5], boxes[5:45]
    overlaps = ops.box_iou(few, anchors)
    yield "iou", [overlaps.numpy()]
    for name, weights in (("rpn", (1.0, 1, 1, 1)), ("head", (10.0, 10, 5, 5))):
        coder = _utils.BoxCoder(weights)
        yield f"encode {name}", [coder.encode_single(boxes[:40], anchors).numpy()]
        codes = torch.tensor(noise("codes", 40, 4) * 9)
        yield f"decode {name}", [coder.decode_single(codes, anchors).numpy()]
    for name, settings in (("anchors", (0.7, 0.3, True)), ("regions", (0.5, 0.5, False))):
        yield f"match {name}", [_utils.Matcher(*settings)(overlaps).numpy()]


class Trunk(nn.Module):
    """conv1 to conv4_x."""

    out_channels = 256

    def __init__(self, network):
        super().__init__()
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            setattr(self, name, getattr(network, name))

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return {"0": x}


class Head(nn.Module):
    """conv5_x and the mean."""

    def __init__(self, network):
        super().__init__()
        self.layer4 = network.layer4

    def forward(self, x):
        return self.layer4(x).mean((2, 3))


class VggTrunk(nn.Module):
    """The convolutions, without the last pooling."""

    out_channels = 512

    def __init__(self):
        super().__init__()
        self.features = vgg16().features[:-1]

    def forward(self, x):
        return {"0": self.features(x)}


def vgg_head():
    """fc6 and fc7, with few features."""
    first, second = nn.Linear(49 * 512, cases.HIDDEN), nn.Linear(cases.HIDDEN, cases.HIDDEN)
    after = nn.ReLU(), nn.Identity()  # without dropout
    return nn.Sequential(nn.Flatten(), first, *after, second, *after)


class Pool(nn.Module):
    """RoI align or RoI max pooling of the only map."""

    def __init__(self, pooling, size):
        super().__init__()
        self.pooling, self.size = pooling, size

    def forward(self, maps, boxes, sizes):
        settings = {"output_size": self.size, "spatial_scale": 1 / 16}
        if self.pooling == "max":
            return ops.roi_pool(maps["0"], boxes, **settings)
        return ops.roi_align(maps["0"], boxes, **settings, sampling_ratio=0, aligned=True)


def parts_of(backbone):
    """Trunk, head, the features of a region and its size."""
    if backbone == "vgg16":
        return VggTrunk(), vgg_head(), cases.HIDDEN, 7
    network = resnet18(norm_layer=ops.FrozenBatchNorm2d)
    return Trunk(network), Head(network), 512, cases.POOL


def detector(pooling, backbone="resnet18"):
    """torchvision's FasterRCNN of the parts that ours has."""
    trunk, head, features, size = parts_of(backbone)
    numbers = cases.NUMBERS
    sizes, classes = numbers.sizes, len(cases.CLASSES) + 1
    model = detection.FasterRCNN(
        trunk,
        rpn_anchor_generator=anchor_utils.AnchorGenerator(sizes, (numbers.ratios,)),
        rpn_pre_nms_top_n_train=numbers.before_nms[0],
        rpn_pre_nms_top_n_test=numbers.before_nms[1],
        rpn_post_nms_top_n_train=numbers.after_nms[0],
        rpn_post_nms_top_n_test=numbers.after_nms[1],
        rpn_batch_size_per_image=numbers.anchor_sample,
        box_batch_size_per_image=numbers.region_sample,
        box_head=head,
        box_predictor=detection.faster_rcnn.FastRCNNPredictor(features, classes),
        **as_it_is(),
    )
    # what the class does not let one choose: RoI pooling, and the paper's width
    model.roi_heads.box_roi_pool = Pool(pooling, size)
    model.rpn.head = Proposals(trunk.out_channels, 512, len(sizes[0]) * len(numbers.ratios))
    return filled(model, slots_of(cases.detector(pooling, backbone)))


class Proposals(rpn.RPNHead):
    """torchvision's, whose width is that of the map, with another width."""

    def __init__(self, channels, width, anchors):
        super().__init__(width, anchors)
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU()))


def as_it_is():
    """Settings of a transform that leaves images as they are."""
    sides = {"min_size": min(cases.IMAGE), "max_size": max(cases.IMAGE)}
    return {"image_mean": [0.0] * 3, "image_std": [1.0] * 3, **sides}


def filled(model, slots):
    """The network with our numbers, float64."""
    numbers = {
        in_torchvision(name): torch.tensor(values(name, slot.torch_shape))
        for name, slot in slots.items()
    }
    missing, unexpected = model.double().load_state_dict(numbers, strict=False)
    left = [name for name in missing if not name.endswith("num_batches_tracked")]
    assert not left, left
    assert not unexpected, unexpected
    return model


def training(*what):
    """The four losses, and the traces of the gradients that ours has."""
    model, slots = detector(*what).train(), slots_of(cases.detector(*what))
    targets = [
        {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}
        for boxes, labels in zip(cases.OBJECTS, cases.LABELS, strict=True)
    ]
    losses = model(list(planes(cases.images())), targets)
    sum(losses.values()).backward()
    named = dict(model.named_parameters())
    pairs = ((name, named.get(in_torchvision(name))) for name in slots)
    gradients = {name: p.grad.numpy() for name, p in pairs if p is not None}
    gradients = {n: g for n, g in gradients.items() if not n.startswith(cases.FIXED)}
    names = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg")
    return [np.array([losses[name].item() for name in names]), cases.traces(gradients)]


def inference(model):
    """Of both images: proposals, boxes, labels, scores."""
    proposed = []
    model.rpn.register_forward_hook(lambda *call: proposed.extend(call[-1][0]))
    with torch.no_grad():
        found = model.eval()(list(planes(cases.images())))
    for boxes, one in zip(proposed, found, strict=True):
        yield from (boxes.numpy(), *(one[name].numpy() for name in ("boxes", "labels", "scores")))


def pyramid_detector():
    options = {"weights": None, "weights_backbone": None, "num_classes": len(cases.CLASSES) + 1}
    options |= {"rpn_post_nms_top_n_test": cases.OF_PYRAMID.after_nms[1]}
    model = detection.fasterrcnn_resnet50_fpn(**options, **as_it_is())
    return filled(model, slots_of(cases.pyramid_detector()))


def main():
    record = dict(operations())
    for what in cases.DETECTORS:
        name = " ".join(what)
        record[f"training {name}"] = training(*what)
        record[f"found {name}"] = [*inference(detector(*what))]
    record["found pyramid"] = [*inference(pyramid_detector())]
    arrays = {f"{key} {i}": a for key, parts in record.items() for i, a in enumerate(parts)}
    np.savez_compressed(PLACE, **arrays)
    print(f"wrote {len(arrays)} arrays, {PLACE.stat().st_size >> 10} KB, to {PLACE}")


if __name__ == "__main__":
    main()
