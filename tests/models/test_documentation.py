"""The tables of docs/models.md say what the networks are."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from minires.cli import app
from minires.models import by_name, cifar_resnet
from minires.nn import summary

LINES = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8").splitlines()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if "`" in line]
IMAGENET = [row for row in ROWS if len(row) == 6]
CIFAR = [row for row in ROWS if len(row) == 4]


@pytest.mark.parametrize("row", IMAGENET, ids=lambda row: row[0])
def test_networks_for_imagenet(row):
    table = summary(by_name(row[1].strip("`"), seed="zeros"), (224, 224, 3))
    assert f"{table.parameters:,}" == row[2]
    assert f"{table.multiply_adds / 1e9:.2f}" == row[3]
    assert f"{table.activation_bytes / 2**20:.0f}" == row[5]


@pytest.mark.parametrize("row", [r for r in CIFAR if "1202" not in r[0]], ids=lambda row: row[0])
def test_networks_for_cifar(row):
    call = row[1].strip("`").replace(")", ", seed='zeros')")
    table = summary(eval(call, {"cifar_resnet": cifar_resnet}))
    assert f"{table.parameters:,}" == row[2]
    assert f"{table.multiply_adds / 1e6:.1f}" == row[3]


def test_there_are_tables():
    assert (len(IMAGENET), len(CIFAR)) == (16, 7)


def test_the_command_prints_a_summary():
    result = CliRunner().invoke(app, ["summary", "resnet20"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].split()[:3] == ["total", "269,722", "40,551,040"]
