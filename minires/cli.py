"""The `minires` command. Each sub-command is thin: it parses, calls, prints."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from .common.output import errors_as_sentences
from .exercises.commands import app as exercises


class Commands(TyperGroup):
    """The commands; what ends too early is an error, not a wish of the user to stop."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises: ValueError for an EOFError, which Typer takes for Ctrl-D."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise ValueError(f"a file ends too early: {error}") from error


app = typer.Typer(
    cls=Commands,
    help="A from-scratch deep learning engine that shows why residual networks train.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(exercises, name="exercises")
console = Console()

Protocol = Enum(
    "Protocol", {"single": "single", "10crop": "10crop", "multiscale": "multiscale"}, type=str
)
SHORTER_SIDE = "shorter side, pixels: 256, or what the weights say; multiscale has its own sizes"
CROP = "side of a crop, pixels: 224, or what the weights say"
SPLIT = "only the images of ImageSets/Main/SPLIT.txt, such as trainval"
REFINE = "look again at each box found, and let boxes that agree vote"
SCALES = "look at images of several shorter sides, pixels: 400,600,800"
Broken = Enum("Broken", {"skip": "skip", "refuse": "refuse"}, type=str)


@app.command()
def info() -> None:
    """Print which kernels run on this machine, and why others do not."""
    import minires

    console.print(minires.info(), markup=False, highlight=False)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, or of several runs each")],
    out: Annotated[
        Path | None, typer.Option(help="the page; by default report.html in the folder, if one")
    ] = None,
) -> None:
    """Write one HTML page about these runs, which opens from disk and can be mailed."""
    from minires.report import write_report

    path, notes = write_report(runs, out)
    for note in notes:
        console.print(note, markup=False, highlight=False)
    console.print(f"Report: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="holds runs, or folders of runs")] = Path("runs"),
) -> None:
    """List the runs below a folder: how far each has come, and the command to go on with it."""
    from minires.report.listing import list_runs, listing_table

    found, notes = list_runs(folder)
    console.print(listing_table(found))
    for line in dict.fromkeys([*(run.remark for run in found if run.remark), *notes]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def draw(
    networks: Annotated[list[str], typer.Argument(help="such as vgg19 plain34 resnet34")],
    out: Annotated[Path, typer.Option(help="the picture")] = Path("architecture.svg"),
    size: Annotated[int, typer.Option(min=0, help="side of the images; 0: what is usual")] = 0,
) -> None:
    """Draw networks side by side, a box for each layer, as SVG."""
    from minires.models import CifarResNet, by_name
    from minires.report import draw_architectures

    models = [by_name(name, seed="zeros") for name in networks]
    side = size or (32 if all(isinstance(model, CifarResNet) for model in models) else 224)
    path = draw_architectures(models, out, (side, side, 3))
    console.print(f"Picture: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def summary(
    network: Annotated[str, typer.Argument(help="such as resnet50, plain34, vgg16_bn, resnet20")],
    size: Annotated[int, typer.Option(min=0, help="side of the images; 0: what is usual")] = 0,
) -> None:
    """List a network's layers: map sizes, parameters, multiply-adds, memory of activations."""
    from minires import nn
    from minires.models import CifarResNet, by_name

    model = by_name(network, seed="zeros")
    side = size or (32 if isinstance(model, CifarResNet) else 224)
    typer.echo(nn.summary(model, (side, side, 3)))


@app.command()
def evaluate(
    weights: Annotated[
        list[Path],
        typer.Argument(help="torchvision's .safetensors or .pth files, or of minires train"),
    ],
    data: Annotated[Path, typer.Option(help="a sub-folder a class, or ILSVRC's validation set")],
    protocol: Annotated[Protocol, typer.Option(help="what networks see")] = Protocol["single"],
    labels: Annotated[
        Path | None, typer.Option(help="file with the class of each image, if not in sub-folders")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="file with the classes in the order of the outputs")
    ] = None,
    resize: Annotated[int | None, typer.Option(min=1, help=SHORTER_SIDE)] = None,
    crop: Annotated[int | None, typer.Option(min=1, help=CROP)] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="crops at once")] = 32,
    workers: Annotated[int, typer.Option(min=1, help="threads that read ahead")] = 2,
    limit: Annotated[int | None, typer.Option(min=1, help="only so many, evenly chosen")] = None,
    broken: Annotated[Broken, typer.Option(help="images that can't be read")] = Broken["skip"],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    out: Annotated[Path | None, typer.Option(help="also write the results as JSON")] = None,
) -> None:
    """Measure top-1 and top-5 error of networks, and of several as an ensemble."""
    from minires.evaluation import commands

    commands.evaluate_files(
        console,
        weights,
        find=(data, labels, classes),
        sizes=(resize, crop),
        protocol=protocol.value,
        limit=limit,
        device=device,
        out=out,
        options={"batch_size": batch_size, "workers": workers, "broken": broken.value},
    )


@app.command()
def classify(
    images: Annotated[list[Path], typer.Argument(help="image files")],
    weights: Annotated[list[Path], typer.Option(help="several are averaged")],
    classes: Annotated[
        Path | None, typer.Option(help="file with the classes in the order of the outputs")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="how many classes")] = 5,
    protocol: Annotated[Protocol, typer.Option(help="what networks see")] = Protocol["single"],
    resize: Annotated[int | None, typer.Option(min=1, help=SHORTER_SIDE)] = None,
    crop: Annotated[int | None, typer.Option(min=1, help=CROP)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    picture: Annotated[
        Path | None, typer.Option(help="also draw: a .png, or a folder for several images")
    ] = None,
) -> None:
    """Show the most likely classes of photographs, as bars."""
    from minires.evaluation import commands

    commands.classify_files(
        console,
        images,
        weights,
        classes=classes,
        sizes=(resize, crop),
        protocol=protocol.value,
        top=top,
        device=device,
        picture=picture,
    )


@app.command()
def train(
    data: Annotated[
        Path | None, typer.Option(help="a sub-folder a class; or train and val with such")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="resnet18, or what the weights are; see minires summary")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="pretrained: torchvision's, or of minires train")
    ] = None,
    freeze: Annotated[str, typer.Option(help="layers that stay: conv1,bn1,layer1")] = "",
    image_size: Annotated[
        int | None, typer.Option(min=8, help="pixels; what the weights or the network are for")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="finetune (with weights), scratch (without) or toy")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="instead of the preset's")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="instead of the preset's")] = None,
    lr: Annotated[float | None, typer.Option(help="the largest learning rate")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="all classes count alike")] = False,
    val_share: Annotated[
        float, typer.Option(help="of each class, for the test, if there is no val")
    ] = 0.2,
    onnx: Annotated[bool, typer.Option("--onnx", help="also write the network as ONNX")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the split, new weights, and views")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    out: Annotated[Path | None, typer.Option(help="new folder for the results")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="go on with what this folder holds, as it was begun")
    ] = None,
) -> None:
    """Train or fine-tune a network on your own folders of images; it ends with a report."""
    from minires.own_images.command import train_on
    from minires.own_images.options import TrainingOptions

    options = TrainingOptions(
        data=str(data.resolve()) if data else "",
        share=val_share,
        network=network,
        weights=str(weights.resolve()) if weights else None,
        freeze=freeze,
        image_size=image_size,
        preset=preset,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        balance=balance,
        onnx=onnx,
        seed=seed,
    )
    train_on(console, options, out=out, resume=resume, device=device)


@app.command("check-boxes")
def check_boxes(
    data: Annotated[Path, typer.Argument(help="a folder in VOC's layout, or COCO's JSON")],
    split: Annotated[str | None, typer.Option(help=SPLIT)] = None,
    images: Annotated[Path | None, typer.Option(help="where the images are, if elsewhere")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="file with the classes; others are then faults")
    ] = None,
    sizes: Annotated[str, typer.Option(help="sides of the anchors, pixels")] = "128,256,512",
    shorter: Annotated[int, typer.Option(min=16, help="pixels that images are scaled to")] = 600,
    longer: Annotated[int, typer.Option(min=16, help="at most, on the longer side")] = 1000,
    stride: Annotated[int, typer.Option(min=1, help="pixels between anchors")] = 16,
    pictures: Annotated[Path | None, typer.Option(help="also draw: a folder")] = None,
    count: Annotated[int, typer.Option(min=1, help="how many pictures")] = 20,
) -> None:
    """Look through annotated boxes before a detector is trained. Exits with 1 if any are wrong."""
    from minires.detection import commands
    from minires.detection.check import Viewing

    viewing = Viewing(commands.numbers(sizes), shorter, longer, stride)
    find = (split, images, classes)
    if not commands.check_boxes(
        console, data, find=find, viewing=viewing, pictures=pictures, count=count
    ):
        raise typer.Exit(1)


@app.command("evaluate-detector")
def evaluate_detector(
    annotations: Annotated[Path, typer.Argument(help="a folder in VOC's layout, or COCO's JSON")],
    detections: Annotated[
        list[Path],
        typer.Argument(
            help="COCO's results as JSON, VOC's text files, one a class; or a detector's weights, "
            "of several an ensemble"
        ),
    ],
    split: Annotated[str | None, typer.Option(help=SPLIT)] = None,
    images: Annotated[Path | None, typer.Option(help="where the images are, if elsewhere")] = None,
    classes: Annotated[Path | None, typer.Option(help="file with the classes")] = None,
    refine: Annotated[bool, typer.Option("--refine", help=REFINE)] = False,
    scales: Annotated[str, typer.Option(help=SCALES)] = "",
    max_detections: Annotated[
        int, typer.Option(min=1, help="of an image and class, by COCO's rules")
    ] = 100,
    out: Annotated[Path | None, typer.Option(help="also write the results as JSON")] = None,
) -> None:
    """Measure detections: average precision of each class and size, by COCO's rules and VOC's."""
    from minires.detection import commands
    from minires.detection.improving import Improvements

    commands.evaluate_detector(
        console,
        annotations,
        detections,
        split=split,
        images=images,
        classes=classes,
        options=Improvements(refine, commands.sides(scales)),
        most=max_detections,
        out=out,
    )


@app.command()
def detect(
    images: Annotated[list[Path], typer.Argument(help="image files")],
    weights: Annotated[
        list[Path],
        typer.Option(
            help="of torchvision's fasterrcnn_resnet50_fpn, or trained here; again for an ensemble"
        ),
    ],
    classes: Annotated[Path | None, typer.Option(help="file with the classes")] = None,
    refine: Annotated[bool, typer.Option("--refine", help=REFINE)] = False,
    scales: Annotated[str, typer.Option(help=SCALES)] = "",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="least score shown")] = 0.5,
    picture: Annotated[
        Path | None, typer.Option(help="also draw: a .png, or a folder for several images")
    ] = None,
) -> None:
    """Find objects in photographs: boxes, classes, scores. It runs on the CPU."""
    from minires.detection import commands
    from minires.detection.improving import Improvements

    commands.detect_in(
        console,
        images,
        weights,
        classes=classes,
        options=Improvements(refine, commands.sides(scales)),
        threshold=threshold,
        picture=picture,
    )


@app.command("train-detector")
def train_detector(
    data: Annotated[Path, typer.Option(help="a folder in VOC's layout, or COCO's JSON")],
    out: Annotated[Path, typer.Option(help="folder of the run; gone on with if it is one")],
    split: Annotated[str | None, typer.Option(help=SPLIT)] = None,
    test_split: Annotated[str | None, typer.Option(help="the same of the test set")] = None,
    test: Annotated[Path | None, typer.Option(help="the test set, if elsewhere")] = None,
    classes: Annotated[Path | None, typer.Option(help="file with the classes")] = None,
    backbone: Annotated[
        str, typer.Option(help="small-resnet, small-vgg, or resnet50 and the like, vgg16")
    ] = "small-resnet",
    weights: Annotated[
        Path | None, typer.Option(help="a classifier; of a small backbone a detector trained here")
    ] = None,
    pretrain: Annotated[
        int, typer.Option(min=0, help="iterations on drawings before, of a small backbone")
    ] = 0,
    sizes: Annotated[str | None, typer.Option(help="sides of the anchors, pixels")] = None,
    shorter: Annotated[int | None, typer.Option(min=32, help="pixels images are scaled to")] = None,
    longer: Annotated[int | None, typer.Option(min=32, help="at most, longer side")] = None,
    scales: Annotated[
        str, typer.Option(help="shorter sides to draw from in training: 240,300,360")
    ] = "",
    preset: Annotated[str, typer.Option(help="toy or quick")] = "quick",
    iterations: Annotated[int | None, typer.Option(min=1, help="instead of the preset's")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="instead of the preset's")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of batches, flips and samples")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, or tf32 on a GPU")] = "float32",
) -> None:
    """Train a detector on your own annotated images, after a check of them."""
    from minires.detection import own_data

    own_data.train_on(
        console,
        data,
        splits=(split, test_split),
        test=test,
        classes=classes,
        backbone=backbone,
        weights=weights,
        pretrain=pretrain,
        sizes=sizes,
        view=(shorter, longer),
        scales=scales,
        recipe=own_data.recipe_of(preset, iterations, batch_size),
        seed=seed,
        folder=out,
        device=device,
        precision=precision,
    )
    from minires.report import write_report

    page, _ = write_report([out])
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def main() -> None:
    """Turn expected failures into one sentence each."""
    with errors_as_sentences():
        app()


if __name__ == "__main__":
    main()
