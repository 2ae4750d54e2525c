"""Probes look into a network and leave it as it was: parts, hooks, modes, values, gradients."""

import numpy as np
import pytest

from minires import analysis
from minires.analysis.branches import branch_to_skip
from minires.analysis.identity import embed
from minires.analysis.propagation import cross_entropy
from minires.nn import BasicBlock, fusing

from .networks import backward_pass, batch, dataset, network, traces

IMAGES, LABELS = batch(4, dtype=np.float32)
LABELS = np.asarray(LABELS)

PROBES = {
    "propagate": lambda m: analysis.propagate(m, IMAGES, cross_entropy(LABELS)),
    "response_stds": lambda m: analysis.response_stds(m, IMAGES),
    "lesions": lambda m: analysis.lesion_errors(m, dataset(), images=10),
    "path_gradient": lambda m: analysis.path_gradient(m, IMAGES, LABELS, {"layer1.0"}),
    "paths": lambda m: analysis.measure_paths(m, IMAGES, LABELS, samples=1),
    "landscape": lambda m: analysis.loss_surface(
        m, (IMAGES, LABELS), points=2, directions=1, size=2
    ),
    "branch_to_skip": lambda m: branch_to_skip(m, IMAGES),
    "dead_shares": lambda m: analysis.dead_shares(m, IMAGES),
}


@pytest.fixture(params=["train", "eval", "mixed"])
def model(request):
    model = network(8, dtype=np.float32)
    backward_pass(model, IMAGES, LABELS)  # gradients that somebody wants to keep
    model.train(request.param != "eval")
    model.layer2[0].bn1.training = request.param == "train"
    model.layer1.register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES.keys())
def test_a_network_is_left_as_it_was(model, probe):
    before = traces(model)
    probe(model)
    after = traces(model)
    for what in before:
        assert after[what] == before[what], what


def test_a_network_is_left_as_it_was_where_a_probe_fails(model):
    before = traces(model)
    with pytest.raises(ValueError, match="labels"):
        analysis.propagate(model, IMAGES, cross_entropy(LABELS[:-1]))
    assert traces(model) == before


def test_the_embedded_network_is_left_as_it_was():
    small = network(8, shortcut=None, dtype=np.float32)
    before = traces(small)
    embed(small, 14, IMAGES)
    assert traces(small) == before


def test_a_block_runs_as_one_operation_again(model):
    """Hooks on its parts had made it run layer by layer."""
    model.train()
    block = next(m for _, m in model.named_modules() if isinstance(m, BasicBlock))
    for probe in PROBES.values():
        probe(model)
        assert fusing.is_as_built(block)
        assert fusing.is_one_operation(block)
