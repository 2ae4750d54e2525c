"""The probes."""

from .mutants import planted_in

TESTS = "tests/analysis/"

MUTANTS = [
    *planted_in(
        "minires/analysis/watching.py",
        TESTS + "test_no_trace.py",
        {
            "probes: running statistics are not put back": (
                "            buffer[...] = value\n",
                "            pass\n",
            ),
            "probes: gradients are not put back": (
                "            parameter.grad = grad\n",
                "            parameter.grad = None\n",
            ),
            "probes: hooks stay": (
                "hooks.enter_context(module.register_forward_hook(hook))",
                "module.register_forward_hook(hook)",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/lesions.py",
        TESTS + "test_lesions.py",
        {
            "lesions: a block is swapped with itself": (
                "{names[i]: blocks[names[i + 1]], names[i + 1]: blocks[names[i]]}",
                "{names[i]: blocks[names[i]], names[i + 1]: blocks[names[i]]}",
            ),
            "lesions: a bypassed block keeps no ReLU and no shortcut": (
                "return self.relu(self.shortcut(x))",
                "return self.relu(self.shortcut(x * 0.5))",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/paths.py",
        TESTS + "test_paths.py",
        {
            "paths: the gradient takes the shortcut as well": (
                "x.detach() if self.through_branch else x",
                "x",
            ),
            "paths: binomial over one block too many": (
                "comb(blocks, k) / 2**blocks for k",
                "comb(blocks + 1, k) / 2**(blocks + 1) for k",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/landscape.py",
        TESTS + "test_landscape.py",
        {
            "landscape: a filter is taken along the wrong axis": (
                "axes = tuple(range(weight.ndim - 1))",
                "axes = tuple(range(1, weight.ndim))",
            ),
            "landscape: batch norm's parameters move too": (
                "        if parameter.ndim > 1\n",
                "",
            ),
            "landscape: only one side of the line is told": (
                "np.isclose(np.abs(self.line), distance)",
                "np.isclose(self.line, distance)",
            ),
            "landscape: the plane's directions are exchanged": ("scene.plane.T", "scene.plane"),
        },
    ),
    *planted_in(
        "minires/analysis/identity.py",
        TESTS + "test_identity.py",
        {
            "identity: batch norm's epsilon is forgotten": (
                "norm.weight[...] = np.sqrt(var + norm.eps)",
                "norm.weight[...] = np.sqrt(var)",
            ),
            "identity: the mean is not put back": (
                "norm.bias[...] = mean",
                "norm.bias[...] = 0.0",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/shattering.py",
        TESTS + "test_shattering.py",
        {
            "shattering: batch norm's scale is a constant one": (
                "/ Tensor(np.sqrt(h.data.var(0) + EPS))",
                "/ Tensor(np.ones(h.shape[1]))",
            ),
            "shattering: correlations of curves that are not centred": (
                "centred = curve - curve.mean()",
                "centred = curve + 3",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/branches.py",
        TESTS + "test_branches.py",
        {
            "branches: shortcut over branch": (
                "channel_variance(branch.data) / channel_variance(block.downsample(x).data)",
                "channel_variance(block.downsample(x).data) / channel_variance(branch.data)",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/activity.py",
        TESTS + "test_activity.py",
        {
            "activity: a unit off on one image counts as dead": (
                "np.mean(y.max(axis=tuple(range(y.ndim - 1))) <= 0)",
                "np.mean(y.min(axis=tuple(range(y.ndim - 1))) <= 0)",
            ),
        },
    ),
    *planted_in(
        "minires/analysis/propagation.py",
        TESTS + "test_propagation.py",
        {
            "propagation: the gradient's size is its mean": (
                "watching(model, BasicBlock, output=rms, gradient=norm)",
                "watching(model, BasicBlock, output=rms, gradient=rms)",
            ),
            "propagation: the gradient at the image counts as a block's": (
                "self.gradient[1:].max()",
                "self.gradient.max()",
            ),
        },
    ),
]
