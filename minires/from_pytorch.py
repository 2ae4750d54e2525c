"""Names of PyTorch's that minires has not, and what does the same here.

Whoever looks one up gets an AttributeError with that advice. `docs/from-pytorch.md` says what else
differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAKE = "make an array with NumPy and a tensor of it, Tensor(array)"
METHOD = "it is a method of the tensor"
WEIGHTS = "load_torchvision(path) of minires.weights reads torchvision's files"
START = "layers begin with He et al.'s numbers; for others write layer.weight.data[...] = array"
RATE = "set optimiser.lr between two steps (`minires.training.schedules`)"

ADVICE: dict[str, dict[str, str]] = {
    "minires": {
        **dict.fromkeys(
            ("tensor", "from_numpy", "as_tensor", "zeros", "ones", "rand", "randn", "arange"), MAKE
        ),
        **dict.fromkeys(("relu", "sigmoid", "tanh", "exp", "log", "sqrt", "abs"), METHOD),
        **dict.fromkeys(("sum", "mean", "argmax", "clip", "flatten"), METHOD),
        **dict.fromkeys(("max", "min"), "x.max(axis) gives values alone, x.argmax(axis) places"),
        "cat": "minires.concatenate(tensors, axis)",
        "clamp": "x.clip(low, high)",
        "matmul": "a @ b",
        "manual_seed": "minires.seed(0)",
        "device": 'devices are names, "cpu", "cuda" or "auto"',
        "cuda": 'x.to("cuda"); `print(minires.info())` says whether there is one',
        "save": "np.savez(file, **model.state_dict())",
        "load": "model.load_state_dict(np.load(file))",
        "set_grad_enabled": "with minires.no_grad():",
        "inference_mode": "with minires.no_grad():",
        "utils": "minires.data.Batches(data, batch_size, seed) for a DataLoader",
        "backends": "leave it out, the same numbers come every time",
        "hub": WEIGHTS,
        "float32": "np.float32",
        "long": "labels are arrays of whole numbers, np.array(labels)",
    },
    "Tensor": {
        "cpu": 'x.to("cpu")',
        "cuda": 'x.to("cuda")',
        "size": "x.shape",
        "dim": "x.ndim",
        "numel": "x.data.size",
        "permute": "x.transpose(0, 3, 1, 2) takes all axes in their new order",
        "T": "x.transpose()",
        "t": "x.transpose()",
        "unsqueeze": "x.reshape(...), or x[:, None]",
        "squeeze": "x.reshape(...)",
        "expand": "operations broadcast as in NumPy",
        "contiguous": "leave it out, results are contiguous",
        "clone": "x * 1",
        "clamp": "x.clip(low, high)",
        "pow": "x ** n",
        "matmul": "a @ b",
        "mm": "a @ b",
        "softmax": "nn.functional.softmax(x)",
        "log_softmax": "nn.functional.log_softmax(x)",
        "var": "((x - x.mean(axis, keepdims=True)) ** 2).mean(axis)",
        "std": "((x - x.mean(axis, keepdims=True)) ** 2).mean(axis).sqrt()",
        "norm": "(x**2).sum().sqrt()",
        "tolist": "x.numpy().tolist()",
        "topk": "np.argsort(x.numpy())",
        "eq": "x.numpy() == y",
        "float": "Tensor(array.astype(np.float32))",
        "double": "Tensor(array.astype(np.float64))",
        "long": "labels are arrays of whole numbers, not tensors",
        "type": "Tensor(array.astype(np.float32))",
        "zero_": "x[...] = 0",
        "fill_": "x[...] = value",
        "copy_": "x[...] = y",
        "add_": "x += y",
        "mul_": "x *= y",
        "requires_grad_": "x.requires_grad = True",
        "retain_grad": "x.register_hook(f) hands f the gradient",
    },
    "Module": {
        "cuda": 'model.to("cuda")',
        "cpu": 'model.to("cpu")',
        "double": "give the layers dtype=np.float64",
        "half": "give the layers dtype=np.float32 or np.float64",
        "requires_grad_": "set p.requires_grad = False for p in model.parameters()",
        "register_parameter": "assign a Parameter to an attribute",
        "add_module": "setattr(model, name, module)",
        "register_forward_pre_hook": "model.register_forward_hook(f) hands f the inputs, too",
        "register_full_backward_hook": "x.register_hook(f), for the tensor that a layer returns",
    },
    "minires.nn": {
        "BatchNorm1d": "BatchNorm2d, for maps (N, H, W, C)",
        "ModuleDict": "assign the modules to attributes: setattr(model, name, module)",
        "Softmax": "nn.functional.softmax(x)",
        "LogSoftmax": "nn.functional.log_softmax(x)",
        "NLLLoss": "CrossEntropyLoss takes logits",
        "MSELoss": "((x - y) ** 2).mean()",
        "L1Loss": "(x - y).abs().mean()",
        "Tanh": "x.tanh() in forward",
        "Sigmoid": "x.sigmoid() in forward",
        "LeakyReLU": "PReLU",
        "Dropout2d": "Dropout",
        "DataParallel": "the kernels use all cores",
        "utils": "optim.clip_gradients(parameters, max_norm) for clip_grad_norm_",
    },
    "minires.nn.init": dict.fromkeys(
        (
            *("kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_"),
            *("normal_", "uniform_", "constant_", "zeros_", "ones_"),
        ),
        START,
    ),
    "minires.models": dict.fromkeys(
        [f"ResNet{depth}_Weights" for depth in (18, 34, 50, 101, 152)], WEIGHTS
    ),
    "minires.nn.functional": {
        "max_pool2d": "max_pool(x, size=2)",
        "avg_pool2d": "avg_pool(x, size=2)",
        "adaptive_avg_pool2d": "global_avg_pool(x), or nn.AdaptiveAvgPool2d(size)",
        "linear": "x @ weight + bias",
        "dropout": "nn.Dropout(p)",
        "nll_loss": "cross_entropy(logits, labels)",
        "mse_loss": "((x - y) ** 2).mean()",
        "one_hot": "np.eye(classes)[labels]",
        "pad": "minires.pad(x, widths), by axes as in NumPy",
        "sigmoid": "x.sigmoid()",
        "tanh": "x.tanh()",
    },
    "minires.optim": {
        "Adam": "AdamW(parameters, weight_decay=0)",
        "lr_scheduler": RATE,
    },
}

ARGUMENTS = {
    "pretrained": WEIGHTS,
    "weights": WEIGHTS,
    "num_classes": "it is called classes",
    "num_features": "it is called channels",
    "dim": "it is called axis",
    "inplace": "leave it out, no operation changes its input",
    "padding_mode": "leave it out, what is padded is zero",
    "affine": "leave it out",
    "track_running_stats": "leave it out",
    "return_indices": "leave it out",
}


def sentence(place: str, name: str) -> str:
    """What an AttributeError says, with advice if it is a name of PyTorch's."""
    advice = ADVICE.get(place, {}).get(name)
    return f"{place} has no attribute '{name}'" + (f": {advice}" if advice else "")


def missing_from(place: str) -> Callable[[str], Any]:
    """A module's `__getattr__`, which is asked for what the module has not."""

    def __getattr__(name: str) -> Any:
        raise AttributeError(sentence(place, name))

    return __getattr__
