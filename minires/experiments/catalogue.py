"""The paper's comparisons in small: which networks, and the paper's rows.

All figures are errors in percent from He et al. 2015; the table is named in each text.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import cifar_resnet, plain18, plain34, resnet18, resnet34
from .network_comparison import Member, NetworkComparison
from .setting import MANY_SCALES, ONE_SCALE

SHORTCUTS = NetworkComparison(
    key="shortcuts",
    title="Shortcut options A, B, C",
    paper=(
        "table 3: 34 layers on ImageNet, top-1 / top-5 error, 10-crop. All three options are far "
        "better than the plain network; B is slightly better than A and C than B, so projections "
        "are not essential."
    ),
    heading="paper (34 layers)",
    members=(
        Member(partial(cifar_resnet, 32, shortcut=None), "28.54 / 10.02"),
        Member(partial(cifar_resnet, 32, shortcut="A"), "25.03 / 7.76"),
        Member(partial(cifar_resnet, 32, shortcut="B"), "24.52 / 7.46"),
        Member(partial(cifar_resnet, 32, shortcut="C"), "24.19 / 7.40"),
    ),
    seeds=3,
)

BOTTLENECK = NetworkComparison(
    key="bottleneck",
    title="Bottleneck against basic blocks at equal multiply-adds",
    paper=(
        "table 3: ResNet-34 (basic blocks, 3.6 billion multiply-adds) and ResNet-50 (bottlenecks, "
        "3.8 billion), both with shortcuts B, on ImageNet; top-1 / top-5 error, 10-crop."
    ),
    heading="paper (34, 50 layers)",
    members=(
        Member(partial(cifar_resnet, 32, shortcut="B"), "24.52 / 7.46"),
        Member(partial(cifar_resnet, 47, shortcut="B", block="bottleneck"), "22.85 / 6.71"),
    ),
    seeds=3,
)

DEPTHS = NetworkComparison(
    key="depths",
    title="CIFAR-10: 20 to 1202 layers",
    paper=(
        "table 6: test error on CIFAR-10 after 64,000 iterations of 128 images. More layers are "
        "better up to 110; 1202 layers train as well, and overfit."
    ),
    heading="paper (test error)",
    members=(
        Member(partial(cifar_resnet, 20), "8.75"),
        Member(partial(cifar_resnet, 32), "7.51"),
        Member(partial(cifar_resnet, 44), "7.17"),
        Member(partial(cifar_resnet, 56), "6.97"),
        Member(partial(cifar_resnet, 110), "6.43 (6.61 ± 0.16)"),
    ),
)

DRAWINGS = NetworkComparison(
    key="drawings",
    title="18 and 34 layers, plain and residual, on larger images",
    paper=(
        "table 2: top-1 error on ImageNet, 10-crop, residual networks with shortcuts A. The deeper "
        "plain network is worse, also in training; the deeper residual network is better."
    ),
    heading="paper (ImageNet)",
    members=(
        Member(plain18, "27.94"),
        Member(plain34, "28.54"),
        Member(partial(resnet18, shortcut="A"), "27.88"),
        Member(partial(resnet34, shortcut="A"), "25.03"),
    ),
    large_images=True,
)

AT_ONE_SCALE = replace(
    DRAWINGS, key="one-scale", members=(Member(partial(cifar_resnet, 20)),), sides=ONE_SCALE
)
AT_MANY_SCALES = replace(AT_ONE_SCALE, key="many-scales", sides=MANY_SCALES)

SIX = NetworkComparison(
    key="ensemble",
    title="An ensemble of six",
    paper=(
        "tables 4 and 5: top-5 error on ImageNet. The best single network (152 layers) has 4.49 on "
        "the validation set; six networks of different depth, two of them with 152 layers, have "
        "3.57 together, on the test set."
    ),
    heading="paper (ImageNet, top-5)",
    members=(
        Member(partial(cifar_resnet, 20)),
        Member(partial(cifar_resnet, 20), seed_offset=1),
        Member(partial(cifar_resnet, 32)),
        Member(partial(cifar_resnet, 32), seed_offset=1),
        Member(partial(cifar_resnet, 44)),
        Member(partial(cifar_resnet, 56)),
    ),
)
