"""The exercises: what is graded, what is said, and that students' files are safe."""

from .mutants import planted_in

FOLDER, TESTS = "minires/exercises/", "tests/exercises/"
PROOF, LUCK = TESTS + "test_proof.py", TESTS + "test_misfortunes.py"
COMMANDS = TESTS + "test_commands.py"
WRONG = PROOF + "::test_a_wrong_program_is_refused_and_the_mistake_is_named"
MISFORTUNE = LUCK + "::test_a_misfortune_is_met_with_a_sentence_and_a_line"

GRADING = [
    *planted_in(
        FOLDER + "task.py",
        PROOF + "::test_the_solution_is_right[batch_norm_grad]",
        {
            "exercises: a check with ones for the cotangent": ("np.sum(dy * (", "np.sum(1 * ("),
            "exercises: differences to one side": ("left[place] -= STEP", "left[place] -= 0"),
        },
    ),
    *planted_in(
        FOLDER + "comparing.py",
        WRONG,
        {
            "exercises: a tolerance of one per cent": ("TOLERANCE = 1e-6", "TOLERANCE = 1e-2"),
        },
    ),
    *planted_in(
        FOLDER + "diagnosing.py",
        WRONG,
        {
            "exercises: a mistake seen in one call is blamed for all": (
                "if all(makes(mistake, answer) for answer in answers):",
                "if any(makes(mistake, answer) for answer in answers):",
            ),
            "exercises: terms that explain nothing are blamed": (
                "if not fits or not all(fit.exact for fit in fits):",
                "if not fits:",
            ),
            "exercises: missing and inverted terms are mixed up": (
                '("is missing", 0.0)',
                '("is missing", -1.0)',
            ),
        },
    ),
    *planted_in(
        FOLDER + "student.py",
        MISFORTUNE,
        {
            "exercises: inputs may be changed in place": (
                "if changed:",
                "if changed and not task:",
            ),
            "exercises: the line is the caller's, not the student's": (
                "own = [frame for frame in frames if is_own(frame.filename, path)]",
                "own = frames",
            ),
        },
    ),
    *planted_in(
        FOLDER + "student.py",
        WRONG,
        {"exercises: arrays may be shared": ("if task.apart:", "if task.apart and not results:")},
    ),
]

FILES = [
    *planted_in(
        FOLDER + "student_folder.py",
        COMMANDS + "::test_start_never_writes_over_existing_work",
        {"exercises: start writes over a student's work": ('path.open("x", ', 'path.open("w", ')},
    ),
    *planted_in(
        FOLDER + "student_folder.py",
        COMMANDS + "::test_a_stub_is_the_solution_without_the_fenced_lines",
        {
            "exercises: the stub holds the answer": (
                'f"{indent}raise NotImplementedError\\n"',
                'f"{answer}"',
            ),
        },
    ),
    *planted_in(
        FOLDER + "checking.py",
        COMMANDS + "::test_json_holds_everything",
        {
            "exercises: check succeeds whatever is wrong": (
                "return right == len(files)",
                "return bool(files)",
            ),
        },
    ),
]

MUTANTS = [*GRADING, *FILES]
