"""The optimiser, schedules, data and the training loop."""

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
                "{name: copy_to_host(array) for name",
                "{name: array for name",
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
            "recipe: a shortened one keeps the paper's drops": (
                "drops=(iterations // 2, iterations * 3 // 4)",
                "drops=(32_000, 48_000)",
            ),
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
                "*no_crops(len(images[some]))",
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
                "self.dataset, limit=count,",
                'self.dataset, "train", limit=count,',
            ),
            "evaluation: all test images whatever the recipe says": (
                "self.dataset, limit=count,",
                "self.dataset,",
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

MUTANTS = [*OPTIMISER, *SCHEDULES_AND_DATA, *TRAINING]
