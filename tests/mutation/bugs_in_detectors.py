"""Faster R-CNN: kernels of regions, proposals, networks, weights, scenes, training."""

from .mutants import planted_in

MATCHING, NETWORK = "tests/detection/test_matching.py", "tests/detection/test_network.py"
PYRAMID, SCENES = "tests/detection/test_pyramid.py", "tests/detection/test_scenes.py"
TRAINING = "tests/detection/test_training.py"
RECORD = "tests/detection/test_against_torchvision.py"
REFERENCE = "tests/kernels/test_regions.py -k reference"
OF_CPU = "tests/kernels/test_regions.py -k cpu"

MUTANTS = [
    *planted_in(
        "kernels/reference_regions.py",
        REFERENCE,
        {
            "RoI align: aligned or not is the same": ("(0.5 if aligned else 0.0)", "0.0"),
            "RoI align: one sample a bin": (
                "sampling if sampling > 0 else",
                "1 if sampling > 0 else",
            ),
            "RoI align: samples outside count": ("if at < -1 or at > pixels:", "if at < -9e9:"),
            "RoI align: a sample's share is not divided": ("weight / count", "weight"),
            "RoI max pooling: halves go to the even side": (
                "whole + np.sign(values) * (np.abs(values - whole) >= 0.5)",
                "np.round(values)",
            ),
            "RoI max pooling: the last pixel is outside": (
                "max(last - first + 1, 1)",
                "max(last - first, 1)",
            ),
            "RoI max pooling: bins do not overlap": (
                "first - (-(i + 1) * length // bins)",
                "first + (i + 1) * length // bins",
            ),
            "NMS: an overlap on the threshold is too much": ("<= threshold]", "< threshold]"),
        },
    ),
    *planted_in(
        "kernels/cpu/regions.py",
        OF_CPU,
        {
            "RoI align's gradient: a line keeps what the row of bins before it left": (
                "    line[low * WIDE : high * WIDE] = 0.0\n",
                "",
            ),
            "RoI align's gradient: the last column of a region gets nothing": (
                "columns[:, 1].max()",
                "columns[:, 1].max() - 1",
            ),
            "RoI max pooling's gradient: of overlapping regions the last one counts": (
                "dx[n, place, c] += dy[r, p, q, c]",
                "dx[n, place, c] = dy[r, p, q, c]",
            ),
            "RoI align's gradient: regions of all images count": (
                "if images[r] == n:\n                    for p in range(dy.shape[1]):\n"
                "                        low",
                "if True:\n                    for p in range(dy.shape[1]):\n"
                "                        low",
            ),
        },
    ),
    *planted_in(
        "minires/detection/matching.py",
        MATCHING,
        {
            "matching: an object that nothing overlaps makes all positive": (" & (best > 0)", ""),
            "matching: of ties the first is best": (
                "chosen = ((overlaps == best) & (best > 0)).any(axis=0)",
                "chosen = np.isin(np.arange(len(own)), overlaps.argmax(1)) & (most > 0)",
            ),
            "matching: a threshold is not enough": ("most >= positive", "most > positive"),
            "sample: any share is positive": ("int(count * share)", "count"),
            "sample: negatives have their share, too": (
                "count - len(positives)",
                "int(count * share)",
            ),
            "sample: the first are taken": ("rng.permutation(places)[:most]", "places[:most]"),
            "anchors across the edge are used": (
                "overlaps = iou(objects, anchors[usable])\n    result[usable] =",
                "overlaps = iou(objects, anchors)\n    result[:] =",
            ),
        },
    ),
    *planted_in(
        "minires/detection/matching.py",
        f"{NETWORK} -k padding",
        {"anchors on the edge of the padding are examples": (" / 2 < limits", " / 2 <= limits")},
    ),
    *planted_in(
        "minires/detection/proposals.py",
        NETWORK,
        {
            "proposals: the object's channels come first": (
                "logits[..., self.anchors :] - logits[..., : self.anchors]",
                "logits[..., : self.anchors] - logits[..., self.anchors :]",
            ),
            "proposals: boxes leave the image": (
                "clip(decode(codes[order], level.anchors[order]), *size)",
                "decode(codes[order], level.anchors[order])",
            ),
            "proposals: small ones stay": (
                "boxes, order = np.ascontiguousarray(boxes[large]), order[large]",
                "boxes = np.ascontiguousarray(boxes)",
            ),
            "proposals: anchors of the padding are examples": (
                "(centred if settings.border else inside)(anchors, *size)",
                "(centred if settings.border else inside)(anchors, 9e9, 9e9)",
            ),
            "proposals: the stride is the size of the image over that of the map": (
                "self.stride or (size[0]",
                "(size[0]",
            ),
        },
    ),
    *planted_in(
        "minires/detection/regions.py",
        NETWORK,
        {
            "losses: boxes are over the positives": (
                "where * (1 / max(len(regions.labels), 1))",
                "where * (1 / max(len(yes), 1))",
            ),
            "losses: the background's box is trained": (
                "codes[yes, regions.labels[yes]]",
                "codes[yes, regions.labels[yes] * 0]",
            ),
            "detections: labels count from 0": (
                "return regions, classes + 1",
                "return regions, classes",
            ),
            "detections: classes are kept apart by shifting": (
                "    for one in np.unique(classes):",
                "    boxes = boxes + (classes[:, None] * boxes.max()).astype(boxes.dtype)\n"
                "    classes = classes * 0\n"
                "    for one in np.unique(classes):",
            ),
            "detections: classes suppress each other": (
                "np.flatnonzero(classes == one)",
                "np.flatnonzero(classes == classes)",
            ),
        },
    ),
    *planted_in(
        "minires/detection/network.py",
        NETWORK,
        {
            "detectors: batch norm is trained again": (
                "        if self.frozen:\n            hold(norms(self))\n",
                "",
            ),
            "detectors: labels of 0 are learnt": ("together.min() >= 1", "together.min() >= 0"),
        },
    ),
    *planted_in(
        "minires/nn/fused.py",
        f"{NETWORK}::test_all_gradients_of_the_four_losses",
        {
            "frozen norms: the weights' gradient is not scaled": (
                "dweight = scale * kernels",
                "dweight = kernels",
            ),
            "frozen norms: dx is that of the unscaled weights": (
                "weight = layer.weight * scale",
                "weight = layer.weight",
            ),
        },
    ),
    *planted_in(
        "minires/nn/regions.py",
        "tests/nn/test_regions.py",
        {
            "smooth L1: beta is not in the square": (
                "0.5 * distance**2 / (beta or 1.0)",
                "0.5 * distance**2",
            ),
            "logistic loss: the sum, not the mean": (
                "(probability - truth) / max(logits.size, 1)",
                "(probability - truth)",
            ),
        },
    ),
    *planted_in(
        "minires/detection/backbones.py",
        NETWORK,
        {
            "VGG's trunk keeps its last pooling": (
                "Sequential(*list(network.features)[:-1])",
                "Sequential(*list(network.features))",
            ),
        },
    ),
    *planted_in(
        "minires/detection/backbones.py",
        f"{RECORD} -k vgg16",
        {
            "VGG's fc7 has no ReLU": (
                "list(network.classifier)[:-1])",
                "list(network.classifier)[:-3])",
            )
        },
    ),
    *planted_in(
        "minires/detection/backbones.py",
        f"{TRAINING} -k all_kinds",
        {
            "detectors: files forget what network they are made of": (
                "if network is not None else {}",
                "if network is None else {}",
            ),
        },
    ),
    *planted_in(
        "minires/detection/pooling.py",
        PYRAMID,
        {
            "pyramid: regions lose their order": (
                "concatenate(parts)[order]",
                "concatenate(parts)",
            ),
            "pyramid: levels start at a side of 112": ("2 + np.log2", "3 + np.log2"),
        },
    ),
    *planted_in(
        "minires/detection/detecting.py",
        PYRAMID,
        {
            "detecting: one ratio for both axes": (
                "pixels.shape[0] / size[0]] * 2",
                "pixels.shape[1] / size[1]] * 2",
            ),
            "detecting: corners of pixels are matched": (
                "(np.arange(new) + 0.5) * (old / new) - 0.5",
                "np.arange(new) * (old / new)",
            ),
        },
    ),
    *planted_in(
        "minires/detection/detecting.py",
        NETWORK,
        {
            "detecting: narrow images have no map": ("max(LEAST_SIDE, *(", "max(1, *("),
            "detecting: levels from 0 to 1 are bytes": ("pixels.dtype != np.uint8 or ", ""),
        },
    ),
    *planted_in(
        "minires/detection/commands.py",
        f"{TRAINING}::test_own_images_are_learnt_and_found_by_command",
        {"detecting: photographs lie on their side": (", upright=True)", ")")},
    ),
    *planted_in(
        "minires/detection/own_data.py",
        f"{TRAINING}::test_own_images_are_learnt_and_found_by_command "
        f"{TRAINING}::test_sets_of_nothing_to_find_are_refused",
        {
            "own images: runs with other anchors are gone on with": (
                '"anchors": sizes',
                '"anchors": None',
            ),
            "own images: difficult objects are enough": (
                "(~annotations.difficult & ~annotations.crowd)",
                "(~annotations.crowd)",
            ),
        },
    ),
    *planted_in(
        "minires/detection/weights.py",
        PYRAMID,
        {"weights: frozen norms have an epsilon": ("1e-5 if trained else 0.0", "1e-5")},
    ),
    *planted_in(
        "minires/detection/sets.py",
        SCENES,
        {
            "flips: boxes stay": ("width - boxes[:, [2, 0]]", "boxes[:, [0, 2]]"),
            "flips: corners are exchanged": (
                "width - boxes[:, [2, 0]]",
                "width - boxes[:, [0, 2]]",
            ),
            "flips: pixels are counted inclusively": (
                "width - boxes[:, [2, 0]]",
                "width - 1 - boxes[:, [2, 0]]",
            ),
            "batches: an image has the scale of the one before": (
                "size=len(chosen))].tolist()",
                "size=len(chosen))].tolist()[-1:] * len(chosen)",
            ),
            "batches: boxes leave their image": (
                "    boxes = clip(boxes, height, width)\n    there",
                "    there",
            ),
            "batches: crowds are learnt": ("~self.annotations.crowd[part] & ", ""),
            "batches: boxes are not scaled": (
                "boxes * np.tile((new / old)[::-1], 2)",
                "boxes * 1.0",
            ),
        },
    ),
    *planted_in(
        "minires/detection/scenes.py",
        SCENES,
        {
            "scenes: the last pixel is outside": ("int(columns[-1]) + 1", "int(columns[-1])"),
            "scenes: hidden objects are easy": ("bool(hidden > HIDDEN)", "False"),
        },
    ),
    *planted_in(
        "minires/detection/pages.py",
        "tests/detection/test_pages.py",
        {
            "pages: difficult objects are missed": (
                "    lost = counting(data)\n",
                "    lost = counting(data) | True\n",
            ),
            "pages: small misses come first": ("-truth.box_area[places]", "truth.box_area[places]"),
            "pages: doubtful false alarms come first": (
                "-likely.score[places]",
                "likely.score[places]",
            ),
        },
    ),
    *planted_in(
        "minires/detection/training.py",
        f"{TRAINING}::test_a_training_leaves_records_and_a_detector",
        {
            "detector's records: one loss is not counted": (
                "terms.sum() * images",
                "terms[:3].sum() * images",
            ),
        },
    ),
    *planted_in(
        "minires/detection/regions.py",
        f"{RECORD}::test_losses_and_all_gradients[align]",
        {
            "regions: objects are no proposals": (
                "        boxes = np.concatenate([boxes, truth])\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/detection/boxes.py",
        f"{RECORD}::test_box_coding",
        {
            "decode: boxes that shrink are held, too": (
                "np.exp(np.minimum(codes[..., 2:], LARGEST_LOG))",
                "np.exp(np.clip(codes[..., 2:], -LARGEST_LOG, LARGEST_LOG))",
            ),
        },
    ),
    *planted_in(
        "minires/detection/anchors.py",
        f"{RECORD}::test_detections_of_random_weights[align]",
        {
            "anchors: their corners are not rounded": (
                "np.round(np.concatenate([-sides, sides], axis=1) / 2)",
                "np.concatenate([-sides, sides], axis=1) / 2",
            ),
        },
    ),
]
