"""Bugs in what a long run needs: intervals, the display, claims, the list of runs."""

from .mutants import planted_in

TRAINER = "tests/training/test_trainer.py"
DISPLAY, LISTING = "tests/training/test_display.py", "tests/report/test_listing.py"

MUTANTS = [
    *planted_in(
        "minires/training/recipes.py",
        f"{TRAINER}::test_records_come_in_their_rhythm",
        {
            "recipe: nothing is due after the last iteration": (
                "if last or step % every == 0",
                "if step % every == 0",
            ),
        },
    ),
    *planted_in(
        "minires/training/records.py",
        f"{TRAINER}::test_an_evaluations_loss_is_the_mean_of_its_intervals",
        {
            "records: intervals are counted from the beginning of the run": (
                "meter, self.since_record = self.since_record, Meter()",
                "meter = self.since_record",
            ),
        },
    ),
    *planted_in(
        "minires/training/display.py",
        DISPLAY,
        {
            "display: a line for every iteration": (">= EVERY", ">= 0"),
            "display: lines in a terminal": (
                "if not self.console.is_terminal and (",
                "if True and (",
            ),
            "display: the estimate again and again": (
                "            self.is_estimated = True\n",
                "",
            ),
            "display: the end is not told": ("(is_finished or", "(False or"),
            "display: nothing left is estimated": (
                "            if self.pace.left() >= FIRST:\n",
                "            if True:\n",
            ),
            "display: lines of unknown trainers in a terminal": (
                "        if console.is_terminal:\n",
                "        if False:\n",
            ),
            "display: a network among others has all the time for itself": (
                "not math.isnan(left) and not self.side_by_side:",
                "not math.isnan(left):",
            ),
        },
    ),
    *planted_in(
        "minires/training/side_by_side.py",
        "tests/training/test_side_by_side.py::TestInTurns",
        {
            "side by side: who diverges ends it for all": (
                "            self.fault, self.farewell = error, str(error)\n",
                "            raise\n",
            ),
            "side by side: a stop saves the first alone": (
                "for lane in running:\n                lane.do(",
                "for lane in running[:1]:\n                lane.do(",
            ),
            "side by side: nobody goes on from a checkpoint": (
                "lane.do(lane.trainer.resume_if_begun)",
                "lane.do(lambda: None)",
            ),
        },
    ),
    *planted_in(
        "minires/training/pace.py",
        DISPLAY,
        {
            "pace: the time of compiling counts": (
                "if self.begun is None or self.iterations <= WARM_UP:",
                "if self.begun is None:",
            ),
            "pace: an iteration counts for all before it": (
                " - images(trainer, before)",
                "",
            ),
            "pace: all iterations cost the same": (
                "{trainer: multiply_adds(trainer) for",
                "{trainer: 1 for",
            ),
            "pace: evaluations cost nothing": (
                ' + evaluations * trainer.identity["test_images"]',
                "",
            ),
            "pace: a GPU's launches are timed": ("if trainer.replay.on_gpu and", "if False and"),
        },
    ),
    *planted_in(
        "minires/training/claim.py",
        LISTING,
        {
            "claim: a killed process claims for ever": (
                "return not lock(file, shared=True)",
                "return True",
            ),
            "claim: two processes train in one folder": ("if not lock(file):", "if False:"),
            "claim: looking asks for a lock that NFS refuses": (
                "lock(file, shared=True)",
                "lock(file)",
            ),
            "claim: a file that was removed is locked": (
                "if is_at(file, folder / MARK):",
                "if True:",
            ),
            "claim: the lock ends before the file is removed": ('os.name == "nt"', "True"),
        },
    ),
    *planted_in(
        "minires/training/going_on.py",
        LISTING,
        {
            "runs: only the next folder has the command": ("parents[:LEVELS]", "parents[:1]"),
            "runs: a moved job goes on in its old folder": (
                'if "--resume" not in words:',
                "if True:",
            ),
            "runs: a resumed run computes on another device": (
                'if device != "auto" else',
                'if device == "cuda" else',
            ),
            "runs: a resumed run computes with another precision": (
                '["--precision", precision] if precision != "float32" else []',
                "[]",
            ),
        },
    ),
    *planted_in(
        "minires/report/runs.py",
        LISTING,
        {
            "runs: an odd record ends the list": ("if faults := faulty(record):", "if False:"),
            "runs: an odd configuration ends the list": ("    if missing:", "    if False:"),
        },
    ),
    *planted_in(
        "minires/common/json_files.py",
        LISTING,
        {
            "json: a deep list is a traceback": ("(ValueError, RecursionError)", "ValueError"),
        },
    ),
    *planted_in(
        "minires/report/listing.py",
        LISTING,
        {
            "runs: the time left is that of the whole": ("* (iterations - done)", "* iterations"),
            "runs: what is being trained seems interrupted": ("if is_claimed(place):", "if False:"),
            "runs: brackets in a folder's name are markup": ("Text(run.name)", "run.name"),
            "runs: a run without a checkpoint shall be resumed": (
                "if (place / CHECKPOINT).exists()",
                "if True",
            ),
            "runs: a finished run is told how to go on": (
                'if state == "interrupted":',
                'if state != "diverged":',
            ),
        },
    ),
]
