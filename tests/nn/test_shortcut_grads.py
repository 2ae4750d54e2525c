"""Gradients that meet where a shortcut begins are added by the kernel that makes the second one."""

import numpy as np
import pytest
from minires.kernels.cuda import fused

from minires import Tensor
from minires.nn import Sequential
from minires.nn.blocks import Bottleneck

from ..cuda import fake_cupy
from ..device import gpu, is_real, to_host

pytestmark = pytest.mark.cuda


def blocks():
    """Identity shortcuts and projections, with a stride and without."""
    rng = np.random.default_rng(0)
    sizes = (8, 16, 1, "1x1"), (16, 16, 1, "1x1"), (16, 16, 2, "3x3"), (16, 32, 2, "1x1")
    return Sequential(
        *(
            Bottleneck(c, out, stride=stride, stride_in=where, rng=rng, shortcut_rng=rng)
            for c, out, stride, where in sizes
        )
    )


def step(device):
    """Gradients of the input and the parameters of a chain of blocks."""
    rng = np.random.default_rng(1)
    chain = blocks().to(device)
    x = Tensor(rng.standard_normal((2, 6, 5, 8)).astype(np.float32)).to(device)
    x.requires_grad = True
    y = chain(x)
    y.backward(Tensor(rng.standard_normal(y.shape).astype(np.float32)).to(device).data)
    return [to_host(g) for g in (x.grad, *(p.grad for p in chain.parameters()))]


def test_nothing_is_added_by_itself(monkeypatch):
    with gpu():
        ours = step("cuda")
        if not is_real():
            assert "add" not in fake_cupy.machine.counts.library_launches
        monkeypatch.setattr(fused, "grad_so_far", lambda _: None)
        apart = step("cuda")
    for a, b in zip(ours, apart, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(ours, step("cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())
