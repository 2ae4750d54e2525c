"""`minires exercises`: thin commands; the modules beside this one do the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Write the gradients of a residual network yourself, and have them checked.")

console = Console()

Folder = Annotated[
    Path | None,
    typer.Option(help="Where your files are; without it `exercises`, below the current folder."),
]
Name = Annotated[str, typer.Argument(help="An exercise: its name, number or file.")]


@app.callback(invoke_without_command=True)
def overview(context: typer.Context, folder: Folder = None) -> None:
    """List the exercises and your progress."""
    if context.invoked_subcommand:
        return
    from .display import show_list
    from .student_folder import default_folder

    show_list(console, folder or default_folder())


@app.command("start")
def start_command(name: Name, folder: Folder = None) -> None:
    """Put an exercise's file, with the task and the mathematics, into your folder."""
    from .display import show_start
    from .student_folder import default_folder, find, start

    name = find(name)
    show_start(console, name, start(name, folder or default_folder()))


@app.command("check")
def check_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Exercises; without any, all that you have started.")
    ] = None,
    folder: Folder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for an autograder.")] = False,
) -> None:
    """Check your work. Exits with 1 if anything is not right."""
    from .checking import check_files, chosen

    wanted = chosen(names or [], folder)
    if not check_files(console, wanted, as_json=json):
        raise typer.Exit(1)


@app.command("hint")
def hint_command(
    name: Name,
    level: Annotated[
        int | None, typer.Argument(min=1, max=3, help="1, 2 or 3; without it, the next one.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Show a hint. There are three, each says more; none is the solution."""
    from .checking import hint
    from .student_folder import default_folder, find

    hint(console, find(name), folder or default_folder(), level)


@app.command("class")
def class_command(
    folders: Annotated[list[Path], typer.Argument(help="One folder a student.")],
) -> None:
    """Check many students' folders, and print a table: who has what right."""
    from .checking import check_class

    check_class(console, folders)
