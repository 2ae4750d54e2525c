"""The optimiser, the networks, schedules, data and the training loop."""

from .mutants import planted_in

REFERENCE, SGD = "kernels/reference.py", "tests/optim/test_sgd.py"

# ------------------------------------------------------------------------------------ optimiser

VELOCITY = "velocity += grad + weight_decay * parameter\n    parameter -= lr * velocity"

OPTIMISER = [
    *planted_in(
        "minires/optim.py",
        SGD,
        {
            "sgd: numbers in quotation marks are not named": (
                "if not isinstance(value, numbers.Real):",
                "if False:",
            ),
            "sgd: pairs of names and parameters are not named": (
                "if not isinstance(one, Tensor):",
                "if False:",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        SGD,
        {
            "sgd: the decay misses the velocity and the rate": (
                VELOCITY,
                "velocity += grad\n    parameter -= lr * velocity + weight_decay * parameter",
            ),
            "sgd: no weight decay": (
                "velocity += grad + weight_decay * parameter",
                "velocity += grad",
            ),
            "sgd: 1 - momentum for momentum": ("velocity *= momentum", "velocity *= 1 - momentum"),
            "sgd: the gradient is damped by 1 - momentum": (
                "velocity += grad + weight_decay * parameter",
                "velocity += (1 - momentum) * (grad + weight_decay * parameter)",
            ),
            "sgd: the rate inside the velocity": (
                VELOCITY,
                "velocity += lr * (grad + weight_decay * parameter)\n    parameter -= velocity",
            ),
            "sgd: the decay is added to the gradient in place": (
                VELOCITY,
                "grad += weight_decay * parameter\n    velocity += grad\n"
                "    parameter -= lr * velocity",
            ),
        },
    ),
    *planted_in(
        "minires/optim.py",
        "tests/autograd/test_in_place.py",
        {
            "sgd: a step does not count as a change in place": (
                "                parameter.changes_in_place()\n                self.move(",
                "                self.move(",
            ),
        },
    ),
    *planted_in(
        "minires/optim.py",
        f"{SGD}::test_a_state_is_a_copy",
        {
            "sgd: its state is no copy": (
                'velocity.{i}": copy_to_host(v) for',
                'velocity.{i}": v for',
            ),
        },
    ),
]

# ------------------------------------------------------------------------------------- networks

CIFAR, TORCH = "tests/models/test_cifar.py", "tests/models/test_against_torch.py"
BLOCKS = "tests/nn/test_blocks.py"

NETWORKS = [
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
                'if seed == "zeros":',
                'if seed in (None, "zeros"):',
            ),
        },
    ),
    *planted_in(
        "minires/nn/layers.py",
        "tests/nn/test_layers.py",
        {
            "convolution: a kernel has as many columns as rows": (
                'shape = (*pair("Conv2d: kernel_size", kernel_size), in_channels, out_channels)',
                'rows, _ = pair("Conv2d: kernel_size", kernel_size)\n'
                "        shape = (rows, rows, in_channels, out_channels)",
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

# ---------------------------------------------------------------------------- schedules and data

SCHEDULES_AND_DATA = [
    *planted_in(
        "minires/data/batches.py",
        "tests/data/test_batches.py",
        {
            "batches: crops ignore the seed": ("[self.seed, 1, step]", "[1, step]"),
            "batches: the order ignores the seed": ("[seed, 0, epoch]", "[0, epoch]"),
            "batches: all images mirrored or none": (
                "rng.random(self.batch_size) < 0.5",
                "np.full(self.batch_size, rng.random() < 0.5)",
            ),
        },
    ),
    *planted_in(
        "minires/training/schedules.py",
        "tests/training/test_schedules.py",
        {
            "schedule: a drop comes an iteration late": ("step >= drop", "step > drop"),
            "schedule: the second drop replaces the first": (
                "self.factor ** sum(step >= drop for drop in self.drops)",
                "self.factor ** any(step >= drop for drop in self.drops)",
            ),
            "schedule: the warm-up is never undone": (
                "return self.lr if step < self.steps else self.then(step)",
                "return min(self.lr, self.then(step))",
            ),
            "schedule: the warm-up delays what follows": (
                "else self.then(step)",
                "else self.then(step - self.steps)",
            ),
            "schedule: a warm-up begins at zero": ("(step + 1) / self.steps", "step / self.steps"),
        },
    ),
    *planted_in(
        "minires/training/recipes.py",
        "tests/training/test_schedules.py",
        {
            "recipe: a warm-up for 110 layers and no more": ("depth >= 110", "depth == 110"),
        },
    ),
    *planted_in(
        "minires/data/batches.py",
        "tests/data/test_batches.py",
        {
            "batches: one crop for all images": (
                "rng.integers(0, 2 * PADDING + 1, (self.batch_size, 2))",
                "np.tile(rng.integers(0, 2 * PADDING + 1, 2), (self.batch_size, 1))",
            ),
            "batches: crops do not depend on the step": ("[self.seed, 1, step]", "[self.seed, 1]"),
            "batches: the largest offset is never drawn": (
                "rng.integers(0, 2 * PADDING + 1,",
                "rng.integers(0, 2 * PADDING,",
            ),
            "batches: the order does not depend on the epoch": ("[seed, 0, epoch]", "[seed, 0]"),
            "batches: labels in another order than images": (
                "self.prepare(self.images[chosen], self.labels[chosen]",
                "self.prepare(self.images[chosen], self.labels[np.sort(chosen)]",
            ),
            "batches: an evaluation crops": (
                "*_no_crops(len(images[some]))",
                "np.zeros((len(images[some]), 2), int), np.zeros(len(images[some]), bool)",
            ),
        },
    ),
    *planted_in(
        "minires/data/dataset.py",
        "tests/data/test_dataset.py",
        {
            "data: the mean of the test images": (
                "self.train_images.mean(axis=0",
                "self.test_images.mean(axis=0",
            ),
            "data: divided by the variance": (
                "1 / np.sqrt(np.where(variance > 0, variance, 1))",
                "1 / np.where(variance > 0, variance, 1)",
            ),
        },
    ),
    *planted_in(
        "minires/data/array_pickles.py",
        "tests/data/test_array_pickles.py",
        {
            "array pickles: a dtype of parts": ("state[2:] != PLAIN", "False"),
            "array pickles: an array in Fortran's order": ("by_columns is True", "False"),
        },
    ),
    *planted_in(
        "minires/data/cifar_files.py",
        "tests/data/test_cifar10.py",
        {
            "cifar10: rows and columns are exchanged": (
                "plane.reshape(-1, 32, 32)",
                "plane.reshape(-1, 32, 32).transpose(0, 2, 1)",
            ),
            "cifar10: blue comes first": (
                "enumerate(np.split(planes, 3, axis=1))",
                "enumerate(np.split(planes, 3, axis=1)[::-1])",
            ),
        },
    ),
]

# ------------------------------------------------------------------------- the loop and its files

TRAINER = "tests/training/test_trainer.py"
RESUMED = f"{TRAINER}::test_resumed_is_uninterrupted_bit_for_bit"

TRAINING = [
    *planted_in(
        "minires/training/checkpoints.py",
        RESUMED,
        {
            "checkpoint: the momentum is not restored": (
                'trainer.optimizer.load_state_dict(parts["sgd"])',
                'parts["sgd"].clear()',
            ),
            "checkpoint: the step is not restored": (
                'trainer.step, trainer.seconds = state["step"], state["seconds"]',
                'trainer.seconds = state["seconds"]',
            ),
            "checkpoint: the running means of losses are not restored": (
                "setattr(trainer.records, meter, Meter(**state[meter]))",
                "setattr(trainer.records, meter, Meter())",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        RESUMED,
        {
            "training: gradients are never forgotten": (
                "        self.optimizer.zero_grad()\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/common/files.py",
        "tests/training/test_files.py",
        {
            "files: written in place": (
                "    temporary.touch(exist_ok=False)\n",
                "    temporary = path\n",
            ),
            "files: everybody may read what was private": ("chmod(mode)", "chmod(0o644)"),
        },
    ),
    *planted_in(
        "minires/training/records.py",
        "tests/training/test_files.py",
        {
            "records: a torn last line is read": (
                'if last.endswith(b"}") and is_json(last) else []',
                "if last else []",
            ),
        },
    ),
    *planted_in(
        "minires/report/runs.py",
        "tests/report/test_report.py",
        {
            "report: the spread divides by n": ("np.std(values, ddof=1)", "np.std(values)"),
        },
    ),
    *planted_in(
        "minires/training/records.py",
        f"{TRAINER}::test_resumed_after_a_kill_bit_for_bit",
        {
            "resuming: records of later steps stay": (
                "write_records(self.path, past)",
                "write_records(self.path, lines)",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        f"{TRAINER}::test_a_step_uses_the_rate_of_its_own_iteration",
        {
            "training: the rate of the next iteration": (
                "self.optimizer.lr = self.recipe.schedule(self.step)",
                "self.optimizer.lr = self.recipe.schedule(self.step + 1)",
            ),
        },
    ),
    *planted_in(
        "minires/training/divergence.py",
        f"{TRAINER}::TestDivergence::test_an_overflowing_layer_is_named",
        {
            "training: a loss of NaN is not noticed": (
                "if not np.isfinite(counted.loss_sum):",
                "if False:",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        f"{TRAINER}::TestDivergence::test_a_checkpoint_holds_no_nan_although_no_record_is_due",
        {
            "training: gradients are looked at only for records": (
                "if self.recipe.due(self.step + 1):\n            check",
                'if "record" in self.recipe.due(self.step + 1):\n            check',
            ),
            "training: a stopped run saves whatever it has": (
                "        check_gradients(self)\n        self.save()",
                "        self.save()",
            ),
        },
    ),
    *planted_in(
        "minires/training/meters.py",
        f"{TRAINER}::test_evaluation_leaves_the_network_as_it_was",
        {
            "evaluation: in training mode": ("no_grad(), evaluating(model):", "no_grad():"),
        },
    ),
    *planted_in(
        "minires/nn/modes.py",
        f"{TRAINER}::test_evaluation_leaves_the_network_as_it_was",
        {
            "evaluation: the training mode is not put back": ("module.training = mode", "pass"),
            "evaluation: parts get the mode of the whole": (
                "module.training = mode",
                "module.training = model.training",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        f"{TRAINER}::test_recorded_test_figures_are_those_of_the_first_test_images",
        {
            "evaluation: on the training images": (
                "self.dataset, limit=self.recipe.test_images)",
                'self.dataset, "train", limit=self.recipe.test_images)',
            ),
            "evaluation: all test images whatever the recipe says": (
                "self.dataset, limit=self.recipe.test_images)",
                "self.dataset)",
            ),
        },
    ),
    *planted_in(
        "minires/kernels/reference.py",
        f"{TRAINER}::test_recorded_test_figures_are_those_of_the_first_test_images",
        {
            "evaluation: accuracy for error": (
                "(logits.argmax(1) != labels)",
                "(logits.argmax(1) == labels)",
            ),
        },
    ),
    *planted_in(
        "minires/kernels/reference.py",
        f"{TRAINER}::test_evaluation_weighs_a_short_last_batch_by_its_length",
        {
            "evaluation: a short batch weighs as much as a whole one": (
                "loss.item() * len(labels)",
                "loss.item() * 17",
            ),
        },
    ),
]

REPORT = [
    *planted_in(
        "minires/report/runs.py",
        "tests/report/test_report.py",
        {
            "report: the best test error instead of the last": (
                '"test_error")[1][-1])',
                '"test_error")[1].min())',
            ),
            "report: the last loss instead of the mean over the last eighth": (
                "float(late.mean())",
                "values[-1]",
            ),
        },
    ),
]

MUTANTS = [*OPTIMISER, *NETWORKS, *SCHEDULES_AND_DATA, *TRAINING, *REPORT]
