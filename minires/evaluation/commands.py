"""What `minires evaluate` and `minires classify` do: from files to tables, bars and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..common.json_files import write_json
from ..data import BrokenImageError, find_images, open_image
from ..distributed import silence_other_ranks, world
from .classify import classify, draw_guesses
from .evaluate import Evaluation, evaluate
from .networks import find_classes, find_preprocessing, load_networks, was_trained_here
from .protocols import PROTOCOLS
from .tables import bars, evaluation_table

PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".webp")
SHOWN = 20  # names of broken images in the terminal


def evaluate_files(
    console: Console,
    weights: Sequence[Path],
    *,
    find: tuple[Path, Path | None, Path | None],
    sizes: tuple[int | None, int | None],
    protocol: str,
    limit: int | None,
    device: str,
    out: Path | None,
    options: dict[str, Any],
) -> None:
    """Evaluate networks on a folder; `find` is the folder, its labels and the classes."""
    silence_other_ranks()
    ranks = world()  # before a GPU is taken
    refuse_overwriting(out, [*weights, *(path for path in find if path)])
    preprocessing = find_preprocessing(weights, *sizes)
    models = load_networks(weights, device)
    data, labels, classes = find
    images = find_images(data, labels=labels, classes=find_classes(weights, classes))
    images = replace(images, upright=was_trained_here(weights))
    images = images.first(limit) if limit else images
    with progress(console) as bar:
        task = bar.add_task(images.name, total=-(-len(images) // ranks.size))
        result = evaluate(
            models,
            images,
            protocol=PROTOCOLS[protocol],
            preprocessing=preprocessing,
            watch=lambda r: bar.update(task, completed=r.images + len(r.broken)),
            world=ranks,
            **options,
        )
    console.print(evaluation_table(result))
    name_broken(console, result)
    if out and ranks.rank == 0:
        write_json(out, as_json(result))


def refuse_overwriting(out: Path | None, inputs: Sequence[Path]) -> None:
    """Refuse results that would take the place of what they are computed from."""
    if out and out.resolve() in {path.resolve() for path in inputs}:
        raise ValueError(f"--out {out} would overwrite a file of the input: name another one")


def progress(console: Console) -> Progress:
    """How many images are done, and how long the rest will take."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def name_broken(console: Console, result: Evaluation) -> None:
    """The images that were left out."""
    if not result.broken:
        return
    console.print(f"Left out, since they can't be read ({len(result.broken)}):")
    for line in result.broken[:SHOWN]:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if len(result.broken) > SHOWN:
        console.print(f"  and {len(result.broken) - SHOWN} more (all of them are in --out FILE)")


def as_json(result: Evaluation) -> dict[str, Any]:
    """The result with errors as shares, 0 to 1."""
    scores = {
        name: {"top1_error": score.top1_error, "top5_error": score.top5_error}
        for name, score in result.scores.items()
    }
    return asdict(result) | {"images": result.images, "scores": scores}


def classify_files(
    console: Console,
    images: Sequence[Path],
    weights: Sequence[Path],
    *,
    classes: Path | None,
    sizes: tuple[int | None, int | None],
    protocol: str,
    top: int,
    device: str,
    picture: Path | None,
) -> None:
    """Show the most likely classes of each image; those that can't be read are named at the end."""
    preprocessing = find_preprocessing(weights, *sizes)
    models = list(load_networks(weights, device).values())
    names, faults = find_classes(weights, classes), []
    pictures = picture_paths(picture, images) if picture else {}
    for path in images:
        try:
            image = open_image(path, upright=True)
            guesses = classify(
                models,
                image,
                names,
                top=top,
                protocol=PROTOCOLS[protocol],
                preprocessing=preprocessing,
            )
        except BrokenImageError as error:
            faults.append(str(error))
            continue
        console.print(path, markup=False, highlight=False, soft_wrap=True)
        console.print(bars(guesses))
        if picture:
            drawn = draw_guesses(image, guesses, pictures[path])
            console.print(f"Picture: {drawn}", markup=False, highlight=False, soft_wrap=True)
    if faults:
        raise BrokenImageError("\n".join(faults))


def picture_paths(
    picture: Path, images: Sequence[Path], *, kept: Sequence[Path] = ()
) -> dict[Path, Path]:
    """The picture's own name for one image; a file in a folder for each of several.

    It has the image's name; several images of one name give `1.png`, `1-2.png`, `1-3.png`.
    Raises: ValueError where a picture would overwrite one of the images or of those `kept`.
    """
    pictures = named_pictures(picture, images)
    inputs = {path.resolve() for path in (*images, *kept)}
    for target in pictures.values():
        if target.resolve() in inputs:
            raise ValueError(
                f"the picture {target} would overwrite an image of the input: name another folder"
            )
    return pictures


def named_pictures(picture: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """The picture of each image, whatever is there already.

    Raises: ValueError for a file that is no picture, before anything is done.
    """
    is_file = len(images) == 1 and bool(picture.suffix)
    if is_file and picture.suffix.lower() not in PICTURES:
        raise ValueError(
            f"{picture}: the name of a picture must end in {', '.join(PICTURES)}; that of a folder "
            "has no dot"
        )
    if is_file:
        return {images[0]: picture}
    taken: dict[str, Path] = {}
    for image in dict.fromkeys(images):
        names = chain([image.stem], (f"{image.stem}-{number}" for number in count(2)))
        taken[next(name for name in names if name not in taken)] = image
    return {image: picture / f"{name}.png" for name, image in taken.items()}
