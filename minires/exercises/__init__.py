"""Exercises: write the gradients of a residual network yourself, and have them checked.

`solutions/` holds the right answers, fenced, from which stubs are made; `tasks/` says what is
checked, which mistakes are recognised, and the hints. `grading` runs a student's file and explains
what is wrong with it; `sandbox` does that in a process of its own. For use in programs:

    from minires.exercises import grade_file
    grade = grade_file("relu", Path("exercises/relu.py"))

See docs/exercises.md, also for how to add an exercise.
"""

from .grading import Grade, Part, example
from .sandbox import grade_file
from .student_folder import find, start
from .tasks import NAMES

__all__ = ["NAMES", "Grade", "Part", "example", "find", "grade_file", "start"]
