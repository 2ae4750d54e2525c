"""Networks and what they are made of: blocks, layers, modules, first weights."""

from .mutants import planted_in

CIFAR, TORCH = "tests/models/test_cifar.py", "tests/models/test_against_torch.py"
BLOCKS = "tests/nn/test_blocks.py"

MUTANTS = [
    *planted_in(
        "minires/models/cifar.py",
        f"{CIFAR}::test_a_plain_network_has_no_way_past_a_layer",
        {
            "network: the plain twin is silently residual": (
                'options |= {"shortcut": shortcut,',
                'options |= {"shortcut": shortcut or "A",',
            ),
        },
    ),
    *planted_in(
        "minires/nn/layers.py",
        "tests/autograd/test_recompute.py",
        {
            "recomputation: running statistics move twice": (
                "        if is_second_time():\n            return None\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/nn/init.py",
        "tests/models/test_cifar.py",
        {
            "he_normal: fan_out for fan_in": (
                "np.prod(shape[:-1])",
                "np.prod((*shape[:-2], shape[-1]))",
            ),
        },
    ),
    *planted_in(
        "minires/nn/blocks.py",
        "tests/nn/test_blocks.py",
        {
            "block: a watched one cuts off before it adds": (
                "        y = self.bn2(self.conv2(y))\n        if",
                "        y = self.relu(self.bn2(self.conv2(y)))\n        if",
            ),
        },
    ),
    *planted_in(
        "minires/nn/module.py",
        "tests/nn/test_blocks.py",
        {"block: hooks are never noticed": ("return bool(self._hooks)", "return False")},
    ),
    *planted_in(
        "minires/nn/fusing.py",
        BLOCKS,
        {
            "block: the shortcut starts after the first convolution": (
                "else block.downsample(x)\n",
                "else block.downsample(\n"
                "        y if type(block.downsample) is Identity else x\n    )\n",
            ),
        },
    ),
    *planted_in(
        "minires/nn/blocks.py",
        BLOCKS,
        {
            "block: option C is silently B": ('if kind != "C" and same_shape:', "if same_shape:"),
            "block: option B is silently A": ('if kind == "A":', 'if kind != "C":'),
        },
    ),
    *planted_in(
        "minires/nn/init.py",
        f"{CIFAR}::test_weights_have_the_variance_that_keeps_a_signal_through_relu "
        f"{CIFAR}::test_float32_and_float64_networks_start_alike",
        {
            "he_normal: the variance of a linear layer, 1 / fan_in": (
                "2.0 / fan_in",
                "1.0 / fan_in",
            ),
            "he_normal: drawn in the dtype of the network": (
                "rng.standard_normal(shape) *",
                "rng.standard_normal(shape, dtype) *",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/hooks.py",
        "tests/nn/test_module.py",
        {
            "hooks: a hook is not detached": ("self.hooks.pop(self, None)", "return"),
            "hooks: a hook outlives its with block": ("        self.remove()", "        return"),
        },
    ),
    *planted_in(
        "minires/nn/init.py",
        "tests/nn/test_layers.py",
        {
            "layers without a generator: their weights are zeros": (
                "if isinstance(rng, Zeros):",
                "if rng is None or isinstance(rng, Zeros):",
            ),
            "layers without a generator: all draw the same weights": (
                'rng = rng or _package["rng"]',
                "rng = rng or np.random.default_rng(0)",
            ),
            "layers without a generator: it can't be started anew": (
                '_package["rng"] = np.random.default_rng(number)',
                '_package["seed"] = np.random.default_rng(number)',
            ),
            "networks: one without a seed has zeros": (
                'if isinstance(seed, str) and seed == "zeros":',
                'if seed is None or (isinstance(seed, str) and seed == "zeros"):',
            ),
        },
    ),
    *planted_in(
        "minires/nn/layers.py",
        "tests/nn/test_layers.py",
        {
            "convolution: a kernel has as many columns as rows": (
                'shape = (*pair("Conv2d: kernel_size", kernel_size), in_channels',
                'shape = (*2 * pair("Conv2d: kernel_size", kernel_size)[:1], in_channels',
            ),
        },
    ),
    *planted_in(
        "minires/nn/module.py",
        "tests/nn/test_module.py",
        {
            "lists: layers in dictionaries are overlooked": (
                "    if isinstance(value, dict):\n        value = value.values()\n    elif",
                "    if",
            ),
            "lists: layers that came later are overlooked": (
                "if name not in REGISTRIES:",
                "if not name:",
            ),
            "state: what does not fit is left out without a word": (
                "        return problems\n\n    def __repr__",
                "        return []\n\n    def __repr__",
            ),
            "forward without return: nobody says so": ("if output is None:", "if False:"),
            "modules: a function comes to the parents first": (
                "            child.apply(function)\n        function(self)\n",
                "            child.apply(function)\n",
            ),
            "modes: eval does not reach the layers": (
                "for _, module in self.named_modules():\n            module.training = mode",
                "self.training = mode",
            ),
            "state: running statistics are left out": (
                "return parameters | {",
                "return parameters or {",
            ),
            "state: it is no copy": ("name: copy_to_host(p.data)", "name: p.data"),
            "state: what fits is loaded even where something does not": (
                "problems = mismatches(own, state)",
                "problems = mismatches(own, state)\n"
                "        for name in own.keys() & state.keys():\n"
                "            if own[name].shape == state[name].shape:\n"
                "                own[name][...] = state[name]",
            ),
            "state: another dtype is cast silently": ('f"{a.shape} {a.dtype}"', 'f"{a.shape}"'),
        },
    ),
    *planted_in(
        "minires/models/cifar.py",
        f"{CIFAR}::test_only_the_first_block_of_the_second_and_third_stage_strides",
        {
            "network: the first stage strides, the others do not": (
                "((16, 1), (32, 2), (64, 2))",
                "((16, 2), (32, 1), (64, 1))",
            ),
        },
    ),
    *planted_in(
        "minires/nn/blocks.py",
        f"{CIFAR}::test_only_the_first_block_of_the_second_and_third_stage_strides",
        {
            "stage: every block strides": (
                "(block(channels, channels, **options) for",
                "(block(channels, channels, stride=stride, **options) for",
            ),
        },
    ),
    *planted_in(
        "minires/models/cifar.py",
        f"{CIFAR}::test_layers_are_counted_as_in_the_paper",
        {
            "network: every projection is silently option A": (
                'options |= {"shortcut": shortcut,',
                'options |= {"shortcut": shortcut and "A",',
            ),
        },
    ),
    *planted_in(
        "minires/nn/init.py",
        f"{CIFAR}::test_the_same_seed_gives_the_same_weights_whatever_the_shortcut",
        {
            "network: projections draw from the generator of the other weights": (
                "rng, shortcut_rng = source.spawn(2)",
                "rng = shortcut_rng = source",
            ),
        },
    ),
    *planted_in(
        "minires/models/cifar.py",
        f"{TORCH}::test_logits_loss_and_all_gradients_agree_in_float64",
        {
            "network: no ReLU after the first convolution": (
                "x = in_turn(x, self.conv1, self.bn1, self.relu)",
                "x = self.bn1(self.conv1(x))",
            ),
        },
    ),
]
