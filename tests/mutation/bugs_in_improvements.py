"""The paper's improvements of a detector: voting, context, scales, ensembles; their commands."""

from .mutants import planted_in

FOLDER, TESTS = "minires/detection/", "tests/detection/"
IMPROVING, LOOKING = TESTS + "test_improving.py", TESTS + "test_looking.py"

MUTANTS = [
    *planted_in(
        FOLDER + "refinement.py",
        IMPROVING,
        {
            "voting: boxes of other classes vote": ("(same & (", "((same | ~same) & ("),
            "voting: every box has the same vote": ("all_found.scores * (same", "1.0 * (same"),
            "voting: an overlap on the threshold votes": (") > least)", ") >= least)"),
            "voting: the votes are not divided by their sum": (
                "/ weights.sum(axis=1, keepdims=True)",
                "/ 1.0",
            ),
            "refinement: a region may go on as background": (
                "judged.scores[:, 1:].argmax(axis=1) + 1",
                "judged.scores.argmax(axis=1)",
            ),
            "refinement: boxes are not cut to the image": (
                "clip(judged.boxes[np.arange(len(best)), best], *size)",
                "judged.boxes[np.arange(len(best)), best]",
            ),
        },
    ),
    *planted_in(
        FOLDER + "context.py",
        IMPROVING,
        {
            "context: the whole image has height and width exchanged": (
                "(0, 0, width, height)",
                "(0, 0, height, width)",
            ),
            "context: all regions see the first image": (
                "[images[:regions]]",
                "[0 * images[:regions]]",
            ),
        },
    ),
    *planted_in(
        FOLDER + "scales.py",
        IMPROVING,
        {
            "scales: the larger scale alone counts": (
                "namespace(part).maximum(result[own], part)",
                "part",
            ),
            "scales: all of them instead of two": (
                "(first == number) | (first + 1 == number)",
                "first > -1",
            ),
            "scales: the larger of two neighbours and the next": (") - 1, 0,", "), 0,"),
            "scales: proposals are left in the detector's pixels": (
                "(boxes / self.own.ratio)",
                "(boxes / 1.0)",
            ),
            "scales: regions are not scaled": ("(boxes * one.ratio)", "(boxes * 1.0)"),
            "scales: large images are held to the detector's limit": (
                "longer=shorter * max(pixels.shape[:2])",
                "longer=numbers.longer",
            ),
        },
    ),
    *planted_in(
        FOLDER + "improving.py",
        IMPROVING,
        {
            "ensemble: each judges its own proposals alone": (
                "np.concatenate([observer.proposals() for observer in observers])",
                "observers[0].proposals()",
            ),
            "ensemble: scores are added up": ("np.mean(scores, axis=0)", "np.sum(scores, axis=0)"),
            "ensemble: boxes are the first one's": ("np.mean(made, axis=0)", "made[0]"),
            "refinement: the first round is forgotten": (
                "zip(*rounds, strict=True)",
                "zip(*rounds[-1:], strict=True)",
            ),
            "refinement without voting": (" if options.refine else kept", " if False else kept"),
        },
    ),
    *planted_in(
        FOLDER + "errors.py",
        TESTS + "test_errors.py",
        {
            "kinds of errors: a class error may be where its own class is": (
                "& (own < TOUCHING) & (other",
                "& (other",
            ),
            "kinds of errors: all detections are looked at": (
                "chosen[order[:",
                "chosen[order[::1][:99 *",
            ),
            "kinds of errors: the worst come first": ("(-found.score[own]", "(found.score[own]"),
            "kinds of errors: what is difficult is false": ("& (true | false)", "& (true | ~true)"),
        },
    ),
    *planted_in(
        FOLDER + "looking.py",
        LOOKING,
        {
            "a detector's labels are taken for the annotations'": (
                "label=labels[found.label])",
                "label=found.label)",
            ),
            "improvements do not reach the detector": (
                "len(models) == 1 and not options.any",
                "len(models) == 1",
            ),
        },
    ),
]
