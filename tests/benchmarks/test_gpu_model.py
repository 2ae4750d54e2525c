"""The model that predicts how long a step takes on a GPU."""

import gpu_model
import pytest
from gpu_launches import Launch
from gpu_model import Machine
from gpu_steps import Network

from tests.benchmarks import BENCHMARKS
from tests.benchmarks.test_gpu_script import run
from tests.device import is_real

MACHINE = Machine(launch=2.0, bandwidth=1000.0, efficiency=0.5)
needs_stand_in = pytest.mark.skipif(is_real(), reason="it is the stand-in that counts")


@pytest.mark.parametrize(
    ("operations", "nbytes", "us", "limit"),
    [
        (300_000_000, 1_000, 12, "arithmetic"),  # 0.3 GFLOP at half of 60 TFLOP/s
        (300_000_000, 20_000_000, 22, "memory"),  # 20 MB at 1000 GB/s
        (0, 1_000_000, 3, "launch"),
    ],
)
def test_a_kernel_takes_its_launch_and_the_longer_of_two(operations, nbytes, us, limit):
    launch = Launch("conv2d<float>", (1,), operations, nbytes)
    assert gpu_model.predict(launch, MACHINE, "float32") == (pytest.approx(us), limit)
    assert gpu_model.predict(launch, MACHINE, "tf32")[0] <= us


@needs_stand_in
def test_deeper_networks_launch_more_of_the_same():
    """Two blocks of a stage differ in nothing: each adds as many launches as the one before."""
    counts = []
    for depth in (8, 14, 20):
        seen, others = gpu_model.launches_of(Network(f"ResNet-{depth}", 2, 8, 10), "tf32")
        lines = gpu_model.lines_of(seen, MACHINE, ["tf32"])
        assert sum(line.launches for line in lines) == len(seen)
        alone = sum(gpu_model.predict(launch, MACHINE, "tf32")[0] for launch in seen)
        total = gpu_model.total(lines, others, MACHINE, "tf32")
        assert total == pytest.approx((alone + 2 * others) / 1e3)
        counts.append(len(seen))
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0


@needs_stand_in
def test_maps_in_bfloat16_have_half_the_bytes():
    network = Network("ResNet-8", 8, 32, 10)
    float32, bfloat16 = (gpu_model.launches_of(network, p)[0] for p in ("float32", "bfloat16"))

    def bytes_of(seen):
        return sum(launch.bytes for launch in seen if launch.kernel.startswith("normalise_grad"))

    assert 1 < bytes_of(float32) / bytes_of(bfloat16) <= 2


@needs_stand_in
def test_the_script_prints_tables():
    done = run(BENCHMARKS / "gpu_model.py", "--networks", "ResNet-8", "--batch", "2")
    assert done.returncode == 0, done.stderr
    assert "ResNet-8, batch 2, predicted: 2 us a launch" in " ".join(done.stdout.split())
    assert done.stdout.count("together") == len(gpu_model.TABLES)


def test_a_wrong_network_gets_a_sentence():
    done = run(BENCHMARKS / "gpu_model.py", "--networks", "ResNet-21")
    assert done.returncode == 2
    assert "a network is ResNet-D" in " ".join(done.stderr.split())
