"""Lesions against networks put together by hand."""

import numpy as np
import pytest

from minires import Tensor
from minires.analysis import lesion_errors
from minires.analysis.lesions import Bypass
from minires.analysis.watching import module_at
from minires.models import cifar_resnet
from minires.nn import BasicBlock
from minires.training import evaluate_split

from .networks import batch, dataset, network

DATA = dataset(60)


def without(model, missing, x):
    """The network's logits, each block written out, but for one."""
    relu = model.relu
    x = relu(model.bn1(model.conv1(x)))
    blocks = [m for _, m in model.named_modules() if isinstance(m, BasicBlock)]
    for number, block in enumerate(blocks):
        branch = block.bn2(block.conv2(relu(block.bn1(block.conv1(x)))))
        if block.downsample is None:
            x = x if number == missing else relu(branch)
        else:
            shortcut = block.downsample(x)
            x = relu(shortcut if number == missing else branch + shortcut)
    return model.fc(model.pool(x))


@pytest.mark.parametrize("shortcut", ["A", "B", None])
def test_a_network_without_a_block_is_the_others_in_a_row(shortcut):
    model = network(14, shortcut=shortcut, dtype=np.float32)
    result = lesion_errors(model, DATA, images=50)
    assert result.whole == evaluate_split(model, DATA, limit=50).error
    images = next(iter_images())
    model.eval()
    for missing in range(6):
        if shortcut is None and missing in (2, 4):
            continue  # the map shrinks: something has to stand there
        logits = without(model, missing, Tensor(images[0])).data
        assert result.removed[missing] == np.mean(logits.argmax(1) != images[1])


def iter_images():
    from minires.data import evaluation_batches

    return evaluation_batches(DATA, "test", 50, limit=50)


def test_where_a_plain_map_shrinks_the_parameter_free_shortcut_is_left():
    plain, residual = (network(8, shortcut=kind) for kind in (None, "A"))
    x = Tensor(np.abs(batch(2)[0]).repeat(6, axis=3)[..., :16].copy())
    block, twin = plain.layer2[0], residual.layer2[0]
    np.testing.assert_array_equal(Bypass(block)(x).data, twin.downsample(x).data)


def test_removing_a_silent_block_changes_nothing():
    model = network(14, dtype=np.float32)
    block = model.layer2[1]
    block.bn2.weight[...] = 0
    block.bn2.bias[...] = 0
    result = lesion_errors(model, DATA, images=50)
    assert result.removed[3] == result.whole


def test_swapping_is_a_network_with_both_blocks_weights_exchanged():
    model, twin = network(20, dtype=np.float32), cifar_resnet(20)
    result = lesion_errors(model, DATA, images=50)
    assert result.pairs.tolist() == [0, 1, 4, 7]  # blocks of the same shapes alone
    for pair, (a, b) in {0: ("layer1.0", "layer1.1"), 2: ("layer2.1", "layer2.2")}.items():
        twin.load_state_dict(model.state_dict())
        for mine, other in ((a, b), (b, a)):
            module_at(twin, mine).load_state_dict(module_at(model, other).state_dict())
        assert result.swapped[pair] == evaluate_split(twin, DATA, limit=50).error
