"""Convolution, batch norm, ReLU, pooling, shortcut A and the loss, in float64."""

from .mutants import planted_in

REFERENCE, FUNCTIONAL = "kernels/reference.py", "minires/nn/functional.py"
GRADIENTS, BLOCKS = "tests/nn/test_gradients.py", "tests/nn/test_blocks.py"
BATCH_NORM, CONTRACT = "tests/nn/test_batch_norm.py", "tests/kernels/test_contract.py"


def gradients(*names: str) -> str:
    """Some of the tests of an operation's gradient, those that fail fast first."""
    return " ".join(f"{GRADIENTS}::test_{name}" for name in names)


CONVOLUTIONS = gradients("a_convolution_by_hand", "convolutions_of_the_kinds_that_go_wrong")

# ---------------------------------------------------------------------------------- convolution

CONVOLUTION = [
    *planted_in(
        REFERENCE,
        CONVOLUTIONS,
        {
            "convolution: the kernel is turned in dx": (
                "dcolumns = dy @ weight.reshape",
                "dcolumns = dy @ weight[::-1, ::-1].reshape",
            ),
            "convolution: dx takes a reshaped weight for a transposed one": (
                "dcolumns = dy @ weight.reshape(-1, weight.shape[3]).T",
                "dcolumns = dy @ weight.reshape(weight.shape[3], -1)",
            ),
            "convolution: dW of the first image only": (
                "columns.reshape(-1, columns.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])",
                "columns[0].reshape(-1, columns.shape[-1]).T @ dy[0].reshape(-1, dy.shape[-1])",
            ),
            "convolution: dW averaged over the batch": (
                "return dweight.reshape(*kernel_size, x.shape[-1], dy.shape[-1])",
                "return dweight.reshape(*kernel_size, x.shape[-1], dy.shape[-1]) / len(x)",
            ),
            "convolution: dx keeps the padding's corner": (
                "return padded[:, padding : padding + height, padding : padding + width].copy()",
                "return padded[:, :height, :width].copy()",
            ),
            "convolution: a window's rows and columns are exchanged": (
                "transpose(0, 1, 2, 4, 5, 3)",
                "transpose(0, 1, 2, 5, 4, 3)",
            ),
            "convolution: columns in the order channel, row, column": (
                "view[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)",
                "view[:, ::stride, ::stride]",
            ),
            "col2im assigns instead of adding": (
                "target += by_position[:, :, :, i, j]",
                "target[...] = by_position[:, :, :, i, j]",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        f"{CONTRACT}::test_an_implementation_has_the_contracts_defaults",
        {
            "contract: the reference has a default of its own": (
                'conv2d(x, weight, *, stride=1, padding=0, algorithm="auto")',
                'conv2d(x, weight, *, stride=1, padding=0, algorithm="im2col")',
            ),
        },
    ),
    *planted_in(
        "kernels/checks/batch_norm.py",
        "tests/test_sentences.py",
        {
            "contract: a block may stride twice": ("others == (1, 1, 1)", "others[0] == 1"),
        },
    ),
    *planted_in(
        "kernels/dispatch.py",
        "tests/test_sentences.py",
        {
            "contract: sentences without the kernel's name": (
                'error.args = (f"{name}: {error}",)',
                "pass",
            ),
        },
    ),
    *planted_in(
        "kernels/checks/windows.py",
        CONVOLUTIONS,
        {
            "convolution: the last row is dropped where the stride fits": (
                "return (size + 2 * padding - kernel) // stride + 1",
                "return (size + 2 * padding - kernel + 1) // stride",
            ),
            "convolution: rows and columns of the result are exchanged": (
                "output_size(x_shape[1], kernel_size[0], stride, padding),\n"
                "        output_size(x_shape[2], kernel_size[1], stride, padding),",
                "output_size(x_shape[2], kernel_size[1], stride, padding),\n"
                "        output_size(x_shape[1], kernel_size[0], stride, padding),",
            ),
        },
    ),
]

# ----------------------------------------------------------------------------------- batch norm

DX = "gamma / np.sqrt(var + eps) * (masked_dy - dbeta / count - x_hat * dgamma / count)"

NORMALISATION = [
    *planted_in(
        REFERENCE,
        BATCH_NORM,
        {
            "batch norm: dx is zero": (f"dx = {DX}", "dx = np.zeros_like(x)"),
            "batch norm: no gradient through the variance": (
                DX,
                "gamma / np.sqrt(var + eps) * (masked_dy - dbeta / count)",
            ),
            "batch norm: no gradient through the mean": (
                DX,
                "gamma / np.sqrt(var + eps) * (masked_dy - x_hat * dgamma / count)",
            ),
            "batch norm: the gradient of gamma without x_hat": (
                "(masked_dy * x_hat).sum(PER_CHANNEL)",
                "masked_dy.sum(PER_CHANNEL)",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        BATCH_NORM,
        {
            "batch norm: normalised by the unbiased variance": (
                "x.var(PER_CHANNEL)",
                "x.var(PER_CHANNEL, ddof=1)",
            ),
            "batch norm: epsilon outside the root": (
                "y = (x - mean) / np.sqrt(var + eps) * gamma + beta",
                "y = (x - mean) / (np.sqrt(var) + eps) * gamma + beta",
            ),
        },
    ),
    *planted_in(
        "minires/nn/layers.py",
        BATCH_NORM,
        {
            "batch norm: running statistics move in evaluation": (
                "            return F.batch_norm_eval(x,",
                "            self.follow(x, x.data.mean((0, 1, 2)), x.data.var((0, 1, 2)))\n"
                "            return F.batch_norm_eval(x,",
            ),
            "batch norm: evaluation uses the batch's statistics": (
                "if not self.training:\n            mean, var",
                "if False:\n            mean, var",
            ),
        },
    ),
    *planted_in(
        "minires/kernels/reference.py",
        "tests/nn/test_batch_norm.py",
        {
            "batch norm: the running variance is the biased one": (
                "(running_var, var * (count / (count - 1)))",
                "(running_var, var)",
            ),
            "batch norm: momentum the other way round": (
                "running *= 1 - momentum\n        running += momentum * batch",
                "running *= momentum\n        running += (1 - momentum) * batch",
            ),
        },
    ),
    *planted_in(
        FUNCTIONAL,
        BATCH_NORM,
        {
            "batch norm: the gradient in evaluation is that of training": (
                "return kernels.batch_norm_eval_grad(",
                "return kernels.batch_norm_grad(",
            ),
            "batch norm: the gradient in training is that of evaluation": (
                "return kernels.batch_norm_grad(",
                "return kernels.batch_norm_eval_grad(",
            ),
            "batch norm: the running statistics are saved without a copy": (
                "mean=mean.copy(), var=var.copy()",
                "mean=mean, var=var",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fused.py",
        BLOCKS,
        {
            "fused batch norm: the gradient ignores the ReLU in training": (
                "saved=saved, link=link)",
                "saved=saved._replace(y=None), link=link)",
            ),
            "fused batch norm: the gradient ignores the ReLU in evaluation": (
                "layer=layer, y=y if relu else None, **statistics)",
                "layer=layer, y=None, **statistics)",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        BLOCKS,
        {
            "block: no gradient through the skip connection": (
                "if needs_dx and skip:",
                "if False:",
            ),
            "block: the map between the convolutions is not cut off in the gradient": (
                "saved1._replace(y=between)",
                "saved1",
            ),
            "fused batch norm: no gradient for the residual": (
                "return dx, dgamma, dbeta, masked_dy",
                "return dx, dgamma, dbeta, np.zeros_like(masked_dy)",
            ),
            "fused batch norm: the ReLU does not cut the residual's gradient": (
                "return dx, dgamma, dbeta, masked_dy",
                "return dx, dgamma, dbeta, dy",
            ),
            "fused batch norm: the ReLU comes before the residual": (
                "    if residual is not None:\n        y = y + residual\n"
                "    return np.maximum(y, 0) if relu else y",
                "    y = np.maximum(y, 0) if relu else y\n"
                "    return y if residual is None else y + residual",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        gradients("batch_norm_in_training"),
        {
            "batch norm: dx forgets gamma": (DX, DX.removeprefix("gamma / ").join(["1 / ", ""])),
        },
    ),
]

# ---------------------------------------------------------- activation, pooling, shortcut A, loss

OPERATIONS = [
    *planted_in(
        REFERENCE,
        gradients("the_gradient_of_relu_at_zero_is_zero", "relu_leaves_its_input_alone"),
        {
            "relu: the gradient passes at zero": (
                "np.where(y > 0, dy, 0)",
                "np.where(y >= 0, dy, 0)",
            ),
            "relu: in place on its input": ("np.maximum(x, 0)", "np.maximum(x, 0, out=x)"),
        },
    ),
    *planted_in(
        REFERENCE,
        gradients("average_pool"),
        {
            "average pool: mean over one axis of the window": (
                "(size, size), stride).mean((3, 4))",
                "(size, size), stride).mean(3)[:, :, :, 0]",
            ),
            "average pool: divided by the number of real pixels": (
                "return windows(pad(x, padding), (size, size), stride).mean((3, 4))",
                "real = windows(pad(np.ones_like(x), padding), (size, size), stride)\n"
                "    return windows(pad(x, padding), (size, size), stride).sum((3, 4)) / "
                "real.sum((3, 4))",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        gradients("max_pool"),
        {
            "max pool: the place counted down the columns": (
                "flat = view.reshape(",
                "flat = view.swapaxes(3, 4).reshape(",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        gradients(
            "the_loss_is_exact_where_exponentials_would_overflow",
            "softmax_cross_entropy",
        ),
        {
            "softmax: the gradient is not divided by N": (
                "(probabilities - one_hot.astype(probabilities.dtype)) / len(labels)",
                "probabilities - one_hot.astype(probabilities.dtype)",
            ),
            "softmax: the gradient is divided by N twice": (
                "(probabilities - one_hot.astype(probabilities.dtype)) / len(labels)",
                "(probabilities - one_hot.astype(probabilities.dtype)) / len(labels) ** 2",
            ),
            "softmax: the loss is a sum": ("losses.mean()", "losses.sum()"),
            "softmax: exponentials overflow": (
                "shifted = logits - logits.max(1, keepdims=True)",
                "shifted = logits",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        f"{CONTRACT}::test_softmax_cross_entropy",
        {
            "softmax: the largest logit of the batch is subtracted": (
                "logits.max(1, keepdims=True)",
                "logits.max()",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        f"{CONTRACT}::test_max_pool[cpu]",
        {
            "max pool: the last of equals wins": (
                "argmax = flat.argmax(3)",
                "argmax = size * size - 1 - flat[:, :, :, ::-1].argmax(3)",
            ),
            "max pool: padding counts as zero": ("pad(x, padding, -np.inf)", "pad(x, padding)"),
        },
    ),
    *planted_in(
        REFERENCE,
        gradients("the_shortcut_without_parameters"),
        {
            "shortcut A: the odd pixels instead of the even ones": (
                "picked = x[:, ::stride, ::stride]",
                "picked = np.roll(x, -1, (1, 2))[:, ::stride, ::stride]",
            ),
            "shortcut A: the gradient goes to the odd pixels": (
                "dx[:, ::stride, ::stride] = dy[..., : x_shape[3]]",
                "dx[:, 1::stride, 1::stride] = dy[:, : x_shape[1] // stride, "
                ": x_shape[2] // stride, : x_shape[3]]",
            ),
            "shortcut A: the new channels come first": (
                "y[..., : x.shape[3]] = picked",
                "y[..., channels - x.shape[3] :] = picked",
            ),
        },
    ),
    *planted_in(
        FUNCTIONAL,
        gradients("softmax_cross_entropy"),
        {
            "softmax: the gradient from above is ignored": (
                "return grad * kernels.softmax",
                "return kernels.softmax",
            ),
        },
    ),
    *planted_in(
        REFERENCE,
        gradients("global_average_pool"),
        {"global average pool: mean over the wrong axes": ("x.mean((1, 2))", "x.mean((2, 3))")},
    ),
]

MUTANTS = [*CONVOLUTION, *NORMALISATION, *OPERATIONS]
