"""One batch through a network and back, every shape printed: the companion of docs/reading.md.

    MINIRES_KERNELS=reference MINIRES_FUSING=0 python examples/one_batch.py [DEPTH]

The network is ResNet-8, or one of another depth (6n + 2 layers); the batch is 64 built-in drawings.
"""

import sys

from minires import Tensor
from minires.autograd.trace import trace
from minires.data import Batches, load
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.optim import SGD


def main(depth: int = 8) -> None:
    """One iteration of training, and a line for each operation, forward and backward."""
    data, model = load("builtin"), cifar_resnet(depth)
    optimizer = SGD(model.parameters(), lr=0.1)

    images, labels = Batches(data, 64, seed=0).batch(step=0)
    print(f"batch: images {images.shape} {images.dtype}, labels {labels.shape} {labels.dtype}")
    x = Tensor(images)
    with trace() as steps:  # a list of the operations that ran
        loss = F.cross_entropy(model(x), labels)

    names = {parameter: name for name, parameter in model.named_parameters()} | {x: "images"}
    for number, step in enumerate(steps):
        inputs = ", ".join(f"{names[t]} {t.shape}" for t in step.inputs if t is not None)
        names[step.output] = f"#{number}"
        print(f"#{number} = {step.function.__name__}({inputs}): {step.output.shape}")
    for tensor in names:
        if tensor.requires_grad:  # the hook is called when the tensor's gradient is complete
            tensor.register_hook(lambda grad, name=names[tensor]: print(f"d {name}: {grad.shape}"))
    optimizer.zero_grad()
    loss.backward()

    weight = model.conv1.weight
    before = weight.data.copy()
    optimizer.step()
    print(f"conv1.weight {weight.shape} moved by {abs(weight.data - before).max():.4f} at most")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
