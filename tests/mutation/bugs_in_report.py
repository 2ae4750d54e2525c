"""The page about runs: its numbers, what it groups, what it escapes and never replaces."""

from .mutants import planted_in

PAGE, BROWSER = "tests/report/test_page.py", "tests/report/test_browser.py"
REPORT = "tests/report/test_report.py"

MUTANTS = [
    *planted_in(
        "minires/report/curves.py",
        PAGE,
        {
            "page: the spread divides by n": ("self.values.std(0, ddof=1)", "self.values.std(0)"),
            "page: the first seed instead of the mean": (
                "return self.values.mean(0)",
                "return self.values[0]",
            ),
            "page: seeds are drawn at steps that one of them lacks": (
                "steps = sorted(set.intersection(*map(set, by_step)))\n    return Curve(",
                "steps = sorted(by_step[0])\n    return Curve(",
            ),
            "page: shares that pass for percent": (
                '("evaluation", "test_error", 100)',
                '("evaluation", "test_error", 1)',
            ),
            "page: an epoch of one batch more": (
                '// run.config["recipe"]["batch_size"]',
                '// run.config["recipe"]["batch_size"] + 1',
            ),
            "page: projections count as layers": ('if "downsample" not in name', "if name"),
        },
    ),
    *planted_in(
        "minires/report/curves.py",
        REPORT,
        {
            "report: the classifier counts as a convolution": (
                "means = self.values.mean(0)[:-1]",
                "means = self.values.mean(0)",
            ),
        },
    ),
    *planted_in(
        "minires/report/verdict.py",
        REPORT,
        {
            "report: a guess is always one among ten": ("math.log(classes)", "math.log(10)"),
            "report: depth pays where it does no harm": (
                "if against_residual == 1:",
                "if against_residual > -1:",
            ),
            "report: one seed decides within the spread": (
                "WITHOUT_SPREAD = 0.06",
                "WITHOUT_SPREAD = 0.04",
            ),
        },
    ),
    *planted_in(
        "minires/report/sections.py",
        PAGE,
        {
            "page: unfinished runs are judged": (
                "group_runs([run for run in members if run.is_finished])",
                "group_runs(members)",
            ),
            "page: NaN in the numbers": ("if math.isfinite(v) else None", "if True else None"),
        },
    ),
    *planted_in(
        "minires/report/runs.py",
        PAGE,
        {
            "page: other data are the same conditions": (
                '("data", "training_images", "test_images")',
                '("training_images", "test_images")',
            ),
            "page: a repeat is a second seed": (
                "return list(best.values())",
                "return list(runs)",
            ),
            "page: schedules are conditions": ('recipe.pop("schedule", None)\n', "\n"),
        },
    ),
    *planted_in(
        "minires/report/page.py",
        PAGE,
        {
            "page: names are markup": ("autoescape=True", "autoescape=False"),
            "page: names end the script": ('.replace("<", "\\\\u003c")', ""),
            "page: any file is replaced": ("refuse_replacing(place)\n", "\n"),
        },
    ),
    *planted_in(
        "minires/report/paper.py",
        PAGE,
        {
            "page: a variant gets the paper's number": (
                "if group.is_variant or group.depth not in TEST_ERROR",
                "if group.depth not in TEST_ERROR",
            ),
            "page: any schedule passes for the paper's": (
                "same=set(schedules) <= ",
                "same=True or ",
            ),
        },
    ),
    *planted_in(
        "minires/report/assets/charts.js",
        BROWSER,
        {
            "charts: hidden networks are drawn": ("!hidden.has(i)", "true"),
            "charts: epochs are iterations": ('step / line["per epoch"]', "step"),
            "charts: the scale stays linear": (
                'state.scale === "log" ? logarithmic(data) :',
                "",
            ),
            "charts: colour alone tells lines apart": (
                "dash: DASHES[line.kind]",
                'dash: "solid"',
            ),
        },
    ),
    *planted_in(
        "minires/report/assets/page.js",
        BROWSER,
        {
            "page: closed details stay closed on paper": ("details.open = true", "0"),
            "page: dark colours come late": (
                'matchMedia("(prefers-color-scheme: dark)").onchange = redraw;',
                "",
            ),
        },
    ),
    *planted_in(
        "minires/report/assets/style.css",
        BROWSER,
        {
            "page: long words widen a phone's page": ("overflow-wrap: anywhere;", ""),
            "page: still pictures stay": (".ready .still {", ".never .still {"),
        },
    ),
    *planted_in(
        "minires/report/assets/page.html",
        BROWSER,
        {
            "page: something from elsewhere": (
                '<link rel="icon" href="data:,">',
                '<link rel="stylesheet" href="https://example.org/style.css">',
            ),
        },
    ),
    *planted_in(
        "minires/report/runs.py",
        "tests/report/test_report.py",
        {
            "report: the spread divides by n": ("np.std(values, ddof=1)", "np.std(values)"),
        },
    ),
    *planted_in(
        "minires/report/runs.py",
        "tests/report/test_report.py",
        {
            "report: the best test error instead of the last": (
                '"test_error")[1][-1])',
                '"test_error")[1].min())',
            ),
            "report: the last loss instead of the mean over the last eighth": (
                "float(late.mean())",
                "values[-1]",
            ),
        },
    ),
]
