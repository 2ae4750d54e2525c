"""Networks, their new layers, weights from outside, folding and export."""

from .mutants import planted_in

NN, MODELS, WEIGHTS = "tests/nn", "tests/models", "tests/weights"

LAYERS = [
    *planted_in(
        "minires/nn/layers.py",
        f"{NN}/test_layers.py",
        {
            "PReLU: negative values change their sign": (
                "return F.relu(x) - self.weight * F.relu(-x)",
                "return F.relu(x) + self.weight * F.relu(-x)",
            ),
            "dropout: a recomputed mask is another one": (
                "        if not is_second_time():\n            self.batches += 1",
                "        self.batches += 1",
            ),
            "adaptive pooling: regions end too early": (
                "end = -(-np.arange(1, self.size + 1) * length // self.size)",
                "end = np.arange(1, self.size + 1) * length // self.size",
            ),
        },
    ),
    *planted_in(
        "minires/nn/functional.py",
        f"{NN}/test_layers.py",
        {
            "max pooling: what is padded at the end wins over negative values": (
                "(0, 0)), -np.inf)",
                "(0, 0)), 0.0)",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fused.py",
        f"{NN}/test_layers.py",
        {
            "convolution with what follows: ReLU's gradient is forgotten": (
                "dz = grad if s.y is None else kernels.relu_grad(grad, s.y)",
                "dz = grad",
            ),
        },
    ),
    *planted_in(
        "minires/nn/folding.py",
        f"{NN}/test_folding.py::test_what_must_not_be_folded_is_not "
        f"{NN}/test_folding.py::test_a_folded_network_answers_alike",
        {
            "folding: a result that something else reads too": (
                "alone = step.function is fused.ConvBatchNormEval or uses[id(step.inputs[0])] == 1",
                "alone = True",
            ),
            "folding: the mean is added": ("(bias - mean) * scale", "(bias + mean) * scale"),
        },
    ),
]

NETWORKS = [
    *planted_in(
        "minires/models/imagenet.py",
        f"{MODELS}/test_imagenet.py::test_where_a_bottleneck_strides",
        {
            "ResNet: v1.5 strides as v1": (
                'stride_in="1x1" if version == "v1" else "3x3"',
                'stride_in="1x1"',
            ),
        },
    ),
    *planted_in(
        "minires/nn/blocks.py",
        f"{NN}/test_blocks.py",
        {
            "block: a shortcut with another stride is taken for option A's": (
                "== (stride, shape[3])",
                "== (shortcut.stride, shape[3])",
            ),
            "block: more padding goes unnoticed": (" and conv.padding == 1", ""),
            "block: the second convolution's stride goes unnoticed": (
                " and conv2.stride == 1",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/nn/blocks.py",
        f"{MODELS}/test_imagenet_against_torch.py::test_logits_and_all_gradients_agree_in_float64",
        {
            "bottleneck: nothing is added": (
                "return convolve(self.conv3, self.bn3, self.relu, y, shortcut)",
                "return convolve(self.conv3, self.bn3, self.relu, y)",
            ),
        },
    ),
    *planted_in(
        "minires/nn/preactivation.py",
        f"{MODELS}/test_cifar_variants.py::test_the_identities_of_version_two_are_one_clean_path "
        f"{MODELS}/test_cifar_variants_against_torch.py",
        {
            "pre-activation: the identity starts behind the first ReLU": (
                "self.downsample(x if is_identity else y)",
                "self.downsample(y)",
            ),
            "pre-activation: the projection starts at the block's input": (
                "self.downsample(x if is_identity else y)",
                "self.downsample(x)",
            ),
        },
    ),
]

OUTSIDE = [
    *planted_in(
        "minires/weights/torchvision.py",
        f"{WEIGHTS}/test_torchvision.py::test_the_layout_is_pytorchs",
        {
            "weights: a flattened map's rows and columns are exchanged": (
                "transpose(2, 0, 1, 3)",
                "transpose(2, 1, 0, 3)",
            ),
            "weights: a kernel's rows and columns are exchanged": ("(3, 2, 0, 1)", "(3, 2, 1, 0)"),
        },
    ),
    *planted_in(
        "minires/weights/pickles.py",
        f"{WEIGHTS}/test_hostile_files.py",
        {
            "pickles: a tensor larger than its storage": (
                "count > storage.count or (count and last >= storage.count)",
                "count and last >= storage.count",
            ),
            "pickles: a tensor beyond its storage": (
                "count > storage.count or (count and last >= storage.count)",
                "count > storage.count",
            ),
            "pickles: attributes of anything": (
                "if type(target) is not dict:",
                "if False:",
            ),
        },
    ),
    *planted_in(
        "minires/weights/pth.py",
        f"{WEIGHTS}/test_hostile_files.py",
        {
            "pth: packed entries are read": (
                "info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1",
                "info.flag_bits & 1",
            ),
            "pth: an older file's numbers may be cut off": (
                "count != storage.count or end > path.stat().st_size",
                "count != storage.count",
            ),
        },
    ),
    *planted_in(
        "minires/weights/onnx.py",
        f"{WEIGHTS}/test_onnx.py",
        {
            "ONNX: a map is flattened channel by channel": (
                "[graph.plain_of(only(step)), graph.integers(*shape)]",
                "[graph.maps.get(id(only(step))) or graph.plain_of(only(step)), "
                "graph.integers(*shape)]",
            ),
        },
    ),
    *planted_in(
        "minires/data/cifar100.py",
        "tests/data/test_cifar100.py",
        {
            "cifar100: superclasses for classes": (
                '{"which": 0 if coarse else 1}',
                '{"which": 1 if coarse else 0}',
            ),
        },
    ),
]

MUTANTS = [*LAYERS, *NETWORKS, *OUTSIDE]
