"""What the commands do: check files, remember what is right, show hints."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .display import WIDTH, heading, say, show_grade, show_next, show_race
from .display import as_json as to_json
from .grading import Grade
from .sandbox import grade_file, race_file
from .student_folder import FOLDER, default_folder, find, fingerprint, progress, remember
from .tasks import NAMES, exercise


def chosen(wishes: list[str], folder: Path | None) -> dict[str, Path]:
    """The files to check, by exercise. Raises ValueError if there is nothing to check."""
    files = {find(wish): file_of(wish, folder) for wish in wishes}
    if not wishes:
        home = folder or default_folder()
        files = {n: home / f"{n}.py" for n in NAMES if (home / f"{n}.py").exists()}
    if not files:
        raise ValueError(
            f"there is nothing to check in {folder or FOLDER}/ yet: begin with "
            f"`minires exercises start {NAMES[0]}`"
        )
    return files


def file_of(wish: str, folder: Path | None) -> Path:
    """The file that is meant by a path, or by a name."""
    if wish.endswith(".py") and Path(wish).exists():
        return Path(wish)
    name = find(wish)
    path = (folder or default_folder()) / f"{name}.py"
    if not path.exists():
        raise ValueError(f"there is no {path} yet: `minires exercises start {name}` writes it")
    return path


def check_files(console: Console, files: dict[str, Path], *, as_json: bool) -> bool:
    """Grade, print, and note what is right; whether everything is."""
    grades = []
    for name, path in files.items():
        with console.status(f"checking {name} (takes longer the first time)"):
            grade = grade_file(name, path)
        grades.append(grade)
        if not as_json:
            show(console, grade, path, alone=len(files) == 1)
    right = sum(grade.right for grade in grades)
    if as_json:
        print(json.dumps(to_json(grades, next(iter(files.values())).parent), indent=2))
    elif len(files) > 1:
        say(console, f"{right} of {len(files)} are right.")
    return right == len(files)


def show(console: Console, grade: Grade, path: Path, *, alone: bool) -> None:
    """Print and remember a grade; one that is asked for alone is also measured if it is right."""
    show_grade(console, grade, path)
    if grade.right:
        remember(path.parent, grade.exercise, right=fingerprint(path))
    if not alone:
        return
    if grade.right:
        with console.status("measuring (the first time, the engine's kernels are compiled)"):
            result = race_file(grade.exercise, path)
        show_race(console, result)
    show_next(console, grade)


def hint(console: Console, name: str, folder: Path, level: int | None) -> None:
    """Show one hint, the next if no level is given, and remember it."""
    hints = exercise(name).hints
    seen = progress(folder).get(name, {}).get("hints", 0) if folder.exists() else 0
    level = level or min(seen + 1, len(hints))
    say(console, f"{heading(name)}. Hint {level} of {len(hints)}:\n", "bold")
    say(console, textwrap.fill(hints[level - 1], WIDTH) + "\n")
    if folder.exists():
        remember(folder, name, hints=max(seen, level))


def check_class(console: Console, folders: list[Path]) -> None:
    """A table of students and exercises: how many parts of each are right."""
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise ValueError(f"expected folders, one a student, but there is no {', '.join(missing)}")
    table = Table(
        "", *(str(i + 1) for i in range(len(NAMES))), "right", box=None, padding=(0, 0, 0, 1)
    )
    # twenty exercises leave little room: names are what a teacher looks for
    table.columns[0].min_width = max(len(folder.name) for folder in folders)
    for folder in folders:
        cells, right = [], 0
        for name in NAMES:
            path = folder / f"{name}.py"
            grade = grade_file(name, path) if path.exists() else None
            right += bool(grade and grade.right)
            cells.append(cell(grade))
        table.add_row(Text(folder.name), *cells, str(right))
    console.print(table)


def cell(grade: Grade | None) -> str:
    """All right, parts right out of all, or nothing."""
    if grade is None:
        return ""
    right = sum(part.right for part in grade.parts)
    return "[green]✓[/]" if grade.right else f"{right}/{len(grade.parts)}"
