"""The calculus, the sweep, what it frees and refuses, and the gradient check."""

from .mutants import planted_in

SWEEP, OPERATIONS = "tests/autograd/test_sweep.py", "tests/autograd/test_operations.py"
MORE, ERRORS = "tests/autograd/test_more_operations.py", "tests/autograd/test_errors.py"

# ------------------------------------------------------------------------------------- autograd

ADD = "return unbroadcast(grad, ctx.shapes[0]), unbroadcast(grad, ctx.shapes[1])"

MUTANTS = [
    *planted_in(
        "minires/autograd/ops.py",
        OPERATIONS,
        {
            "add: broadcasting is not undone": (ADD, "return grad, grad"),
        },
    ),
    *planted_in(
        "minires/autograd/picking.py",
        OPERATIONS,
        {
            "getitem: elements picked twice get one gradient": (
                "np.add.at(total, on_host, to_host(grad))",
                "total[on_host] = to_host(grad)",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/picking.py",
        "tests/autograd/test_picking.py",
        {
            "getitem on a GPU: what is picked twice is assigned": (
                "return len(np.unique(rows)) == rows.size",
                "return True",
            ),
            "getitem on a GPU: masks read one axis": ("sum(array.ndim - 1 for", "sum(0 for"),
        },
    ),
    *planted_in(
        "minires/autograd/methods.py",
        OPERATIONS,
        {
            "mean: divided by the length of the first axis": (
                "total * (total.data.size / max(1, self.data.size))",
                "total * (1 / len(self.data))",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/backward.py",
        SWEEP,
        {
            "sweep: depth first, gradients handed on before they are complete": (
                "uses_left[parent] -= 1\n            if not uses_left[parent]:",
                "if uses_left.pop(parent, 0):",
            ),
            "sweep: sums made in place in a shared array": (
                "out=total if owned else None",
                "out=total",
            ),
            "sweep: later gradients replace earlier ones": (
                "namespace(total).add(total, grad, out=total if owned else None)",
                "grad",
            ),
            "sweep: a second call is not refused": ("if node.released:", "if False:"),
            "sweep: the graph is freed even where it is to be kept": (
                "if not retain_graph:",
                "if True:",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/tensor.py",
        SWEEP,
        {
            "sweep: two leaves share a gradient array": (
                "self.grad = grad.copy() if",
                "self.grad = grad if",
            ),
            "sweep: a gradient is overwritten instead of added to": (
                "as_array(self.grad + grad)",
                "as_array(grad)",
            ),
            "sweep: a gradient that the user holds is changed in place": (
                "as_array(self.grad + grad)",
                "np.add(self.grad, grad, out=self.grad)",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/backward.py",
        "tests/autograd/test_memory.py",
        {"sweep: the graph is not freed": ("if not retain_graph:", "if False:")},
    ),
    *planted_in(
        "minires/autograd/backward.py",
        "tests/autograd/test_errors.py",
        {"sweep: shapes of gradients are not checked": ("grad.shape != shape or ", "")},
    ),
    *planted_in(
        "minires/autograd/function.py",
        "tests/autograd/test_in_place.py",
        {
            "saved arrays: changes in place are not noticed": (
                "if version.count != count:",
                "if False:",
            ),
            "saved arrays: nobody looks into records": (
                "in records.arrays_within(vars(self._saved).items()):",
                "in vars(self._saved).items():",
            ),
            "saved arrays: a view has a version of its own": (
                "version=shared_version(data, inputs)",
                "version=None",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/function.py",
        SWEEP,
        {
            "no_grad: stays on after an error": (
                "    try:\n        yield\n    finally:\n        _recording.reset(token)",
                "    yield\n    _recording.reset(token)",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/gradcheck.py",
        "tests/autograd/test_gradcheck.py",
        {
            "gradcheck: a cotangent of ones": (
                "self.cotangent = rng.standard_normal(result.shape)",
                "self.cotangent = np.ones(result.shape)",
            ),
            "gradcheck: NaN passes": (
                "if not c.error <= 1]",
                "if c.error > 1]",
            ),
            "gradcheck: every wrong gradient is called a kink": (
                "return changes[0] > allowed and not smooth",
                "return True",
            ),
            "gradcheck: the inputs stay moved after a check": (
                "        finally:\n            tensor.data = original",
                "        finally:\n            pass",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/ops.py",
        f"{OPERATIONS}::test_a_tensor_used_as_both_operands_gets_both_gradients",
        {
            "add: the gradient is halved": (
                ADD,
                ADD.replace("grad,", "grad / 2,"),
            ),
            "add: a gradient only for the branch, none for the shortcut": (
                ADD,
                "return unbroadcast(grad, ctx.shapes[0]), np.zeros(ctx.shapes[1], grad.dtype)",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/ops.py",
        f"{OPERATIONS}::test_unbroadcast_sums_rather_than_averages",
        {
            "bias: the gradient is a mean over the batch": (
                "grad = grad.sum(tuple(range(grad.ndim - len(shape))))",
                "grad = grad.mean(tuple(range(grad.ndim - len(shape))))",
            ),
            "bias: the gradient is a mean over repeated axes": (
                "return grad.sum(repeated, keepdims=True)",
                "return grad.mean(repeated, keepdims=True)",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/more_ops.py",
        MORE,
        {
            "relu: negative values get the gradient": (
                "return kernels.relu_grad(grad, ctx.saved.y)",
                "return kernels.relu_grad(grad, 1 - ctx.saved.y)",
            ),
            "sqrt: the 2 is missing": ("grad / (2 * ctx.saved.result)", "grad / ctx.saved.result"),
            "abs: the gradient keeps its sign": ("grad * np.sign(ctx.saved.a)", "grad"),
            "tanh: the square is missing": ("1 - ctx.saved.result**2", "1 - ctx.saved.result"),
            "sigmoid: the derivative is s": (" * (1 - ctx.saved.result)\n", "\n"),
            "sigmoid: exponentials overflow": (
                "result = np.where(a >= 0, 1, small) / (1 + small)",
                "result = np.exp(a) / (1 + np.exp(a))",
            ),
            "an infinite gradient makes NaN of what was not chosen": (
                "return as_array(np.where(mask, grad, grad.dtype.type(0)))",
                "return grad * mask",
            ),
            "clip: the gradient passes everywhere": ("unchanged=result == a", "unchanged=a == a"),
            "clip: values on a limit get no gradient": (
                "unchanged=result == a",
                "unchanged=(result == a) & (a != low) & (a != high)",
            ),
            "max: equal ones all get the whole gradient": (
                "grad.reshape(ctx.saved.kept_shape) / winners",
                "grad.reshape(ctx.saved.kept_shape)",
            ),
            "max: winners are counted over all axes": (
                "largest.sum(ctx.saved.axis, keepdims=True",
                "largest.sum(None, keepdims=True",
            ),
            "where: the two get each other's gradient": (
                "only_where(chosen, grad), only_where(~chosen, grad)",
                "only_where(~chosen, grad), only_where(chosen, grad)",
            ),
            "concatenate: every part gets the first gradient": (
                "along[a:b].swapaxes",
                "along[: b - a].swapaxes",
            ),
            "pad: the gradient is that of the corner": (
                "return grad[ctx.saved.inside].copy()",
                "return grad[tuple(map(slice, ctx.shapes[0]))].copy()",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/combining.py",
        MORE,
        {
            "stack: the new axis is always the first": (
                "axis = range(tensors[0].ndim + 1)[axis]",
                "axis = 0",
            ),
        },
    ),
    *planted_in(
        "minires/nn/functional.py",
        MORE,
        {
            "log_softmax: exponentials overflow": (
                "x = x - x.detach().max(axis, keepdims=True)",
                "x = x - 0.0",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/methods.py",
        MORE,
        {
            "comparisons: == asks whether it is the same object": (
                "return self.data == self.beside(other) if is_comparable(other) else NotImpl",
                "return NotImpl",
            ),
            "numbers: a tensor is true whatever it holds": (
                "return bool(self.item())",
                "return True",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/hooks.py",
        SWEEP,
        {
            "hooks: one that is gone is called": ("if handle in self and (", "if ("),
            "hooks: what they return is lost": ("is not None:", "is not None and False:"),
        },
    ),
    *planted_in(
        "minires/autograd/accepting.py",
        ERRORS,
        {
            "numbers: nothing is NaN": ('not in "biuf"', 'not in "biufO"'),
            "numbers: tensors in a list lose their history": (
                "return any(map(holds_tensors, value)) if nested",
                "return False if nested",
            ),
            "numbers: tensors deep in a list lose their history": (
                "any(map(holds_tensors, value))",
                "any(map(is_tensor, value))",
            ),
            "operations: an array goes for a tensor": (
                "if not isinstance(t, Tensor) and t is not None:",
                "if False:",
            ),
            "operations: a forward without return goes unnoticed": (
                "if not is_array(result) and",
                "if result is not None and not is_array(result) and",
            ),
        },
    ),
]
