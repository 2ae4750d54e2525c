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
                "read = made.inputs[1], step.inputs[0], step.inputs[1]",
                "read = made.inputs[1], made.inputs[1], step.inputs[1]",
            ),
            "folding: batch norm is not found where it runs with its convolution": (
                "with no_grad(), fusing(False), trace()",
                "with no_grad(), trace()",
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
        "minires/nn/fusing.py",
        f"{NN}/test_blocks.py",
        {
            "block: a shortcut with another stride is taken for option A's": (
                "== (conv.stride, channels)",
                "== (shortcut.stride, channels)",
            ),
            "block: more padding goes unnoticed": (" and conv.padding == 1", ""),
            "block: the second convolution's stride goes unnoticed": (
                "        and conv2.stride == 1\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fusing.py",
        f"{MODELS}/test_imagenet_against_torch.py::test_logits_and_all_gradients_agree_in_float64",
        {
            "bottleneck: nothing is added": (
                "return convolve(conv, norm, y, shortcut, relu=True)",
                "return convolve(conv, norm, y, relu=True)",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fusing.py",
        f"{NN}/test_fusing.py::test_what_has_changed_since_is_seen "
        f"{NN}/test_fusing.py::test_a_block_that_is_built_on_another_computes_what_it_says "
        f"{NN}/test_fusing.py::test_a_plain_block_of_several_widths_runs_layer_by_layer",
        {
            "fusing: a block of several widths runs as one": (
                "        and conv2.weight.shape[2] == conv2.weight.shape[3]\n",
                "",
            ),
            "fusing: whatever a shortcut gives is added in the same pass": (
                "shortcut is None or is_map_of(shortcut, conv, y)",
                "True",
            ),
            "fusing: anything stands for a block's ReLU": (
                "        and is_just(block.relu, ReLU)\n",
                "        and is_just(block.relu, ReLU, Identity)\n",
            ),
            "fusing: anything stands for batch norm": (
                "is_plain(conv) and may_follow(norm, conv) for",
                "is_just(conv, Conv2d) and is_just(norm, BatchNorm2d, Identity, ReLU) for",
            ),
            "fusing: a bias in front of batch norm is forgotten": (
                "(is_just(norm, BatchNorm2d) and conv.bias is None)",
                "is_just(norm, BatchNorm2d)",
            ),
            "fusing: a layer's own forward is not used": (' and "forward" not in vars(layer)', ""),
            "fusing: evaluation goes unnoticed": (" and norm.training for norm in", " for norm in"),
            "fusing: convolutions that a subclass adds are taken for the branch's": (
                "for i in range(block.convolutions)]",
                "for i in range(3) if f'conv{i + 1}' in parts]",
            ),
            "fusing: another epsilon goes unnoticed": ("        and bn1.eps == bn2.eps\n", ""),
        },
    ),
    *planted_in(
        "minires/nn/fusing.py",
        f"{NN}/test_fusing.py::test_a_hook_on_a_part_makes_the_block_plain "
        f"{NN}/test_fusing.py::test_a_hook_on_a_layer_sees_plain_values",
        {
            "fusing: a hook on the shortcut leaves the branch fused": (
                "        and not is_watched_within(block.downsample)\n",
                "",
            ),
            "fusing: a hook on a projection's layer leaves the branch fused": (
                "any(part.is_watched for _, part in module.named_modules())",
                "module.is_watched",
            ),
            "fusing: a hook on one layer leaves the others joined": (
                "if not _on.get() or any(layer.is_watched for layer in layers):",
                "if not _on.get():",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fusing.py",
        f"{NN}/test_fusing.py::test_what_runs "
        f"{NN}/test_fusing.py::test_what_was_in_force_is_in_force_again "
        f"{NN}/test_fusing.py::test_a_sequential_of_ones_own "
        f"{NN}/test_fusing.py::test_the_environment_switches_it_off",
        {
            "fusing: blocks are fused all the same": (
                "        _on.get()\n        and",
                "        True and",
            ),
            "fusing: stems are fused all the same": (
                "if not _on.get() or any(",
                "if any(",
            ),
            "fusing: what was in force is not put back": (
                "        _on.reset(token)",
                "        pass",
            ),
            "fusing: the environment is not asked": (
                'os.environ.get(VARIABLE, "1")',
                '"1"',
            ),
            "fusing: ReLU runs for itself": (
                "relu = rest.pop() if rest and is_just(rest[-1], ReLU) else None",
                "relu = None",
            ),
            "fusing: a ReLU of another kind is taken for one": (
                "return type(layer) in kinds and",
                "return isinstance(layer, kinds) and",
            ),
        },
    ),
    *planted_in(
        "minires/nn/blocks.py",
        f"{NN}/test_fusing.py",
        {
            "bottleneck: one by one, nothing is added": (
                "        y = self.bn3(self.conv3(y))\n        if self.downsample is not None:",
                "        y = self.bn3(self.conv3(y))\n        if False:",
            ),
            "recomputation: with fusing as it is at backward": (
                "            with fusing.fusing(on):\n                return",
                "            if on is not None:\n                return",
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
        "minires/weights/tensor_pickles.py",
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
                "if type(target) not in (dict, Aside):",
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
            "ONNX: any size is said to be taken": (
                "        return not any(",
                "        return any(",
            ),
            "ONNX: constants of two images are taken for those of any number": (
                "(constants and x is not y and not alike(x, y))",
                "False",
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
