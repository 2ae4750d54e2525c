"""What comes in: arguments of another kind, empty batches, numbers so small that they are 0."""

from .mutants import planted_in

ARGUMENTS, EMPTY = "tests/test_every_argument.py", "tests/kernels/test_empty.py"
SMALL, ERRORS = "tests/test_seterr.py", "tests/autograd/test_errors.py"

MUTANTS = [
    *planted_in(
        "minires/common/expecting.py",
        ARGUMENTS,
        {
            "entries: numbers below a range are taken": (
                "if isinstance(kind, range) and plain not in kind:",
                "if False:",
            ),
            "entries: True is a whole number": (
                "is_flag = isinstance(plain, bool) and (int in kinds or range in kinds)",
                "is_flag = False",
            ),
        },
    ),
    *planted_in(
        "minires/common/expecting.py",
        "tests/common/test_expecting.py",
        {
            "entries: NumPy's arrays are no lists": (
                "Sequence: (Sequence, np.ndarray)",
                "Sequence: (Sequence, type)",
            ),
            "entries: numbers of NumPy's stay what they are": (
                "given.item() if isinstance(given, np.generic) else given",
                "given",
            ),
            "entries: a default is of another kind": (
                "if value is not defaults[argument]:",
                "if argument in given.arguments:",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/im2col.py",
        EMPTY,
        {"entries: a block of no pixels has no size": ("-(-max(1, tiles) //", "-(-tiles //")},
    ),
    *planted_in(
        "minires/autograd/accepting.py",
        ERRORS,
        {
            "entries: a mean of nothing looks at the first axis alone": (
                "not all(array.shape[one] for one in along)",
                "not array.shape[0]",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/function.py",
        SMALL,
        {
            "entries: what underflows on the way forward is an error": (
                'with np.errstate(under="ignore"):',
                "with np.errstate():",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/backward.py",
        SMALL,
        {
            "entries: what underflows on the way back is an error": (
                '@np.errstate(under="ignore")',
                "@np.errstate()",
            ),
        },
    ),
    *planted_in(
        "kernels/dispatch.py",
        "tests/kernels/test_seterr.py",
        {
            "entries: what underflows in a kernel is an error": (
                'with np.errstate(under="ignore"):',
                "with np.errstate():",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/methods.py",
        "tests/test_first_lines.py",
        {
            "entries: a tensor is unpacked as Python does it": (
                'dis.opname[instruction] == "UNPACK_SEQUENCE" and count != rows',
                "count < 0",
            ),
        },
    ),
    *planted_in(
        "minires/common/expecting.py",
        "tests/common/test_expecting.py",
        {
            "entries: a text is a list of its letters": (
                "list if isinstance(given, str | bytes) else Iterable",
                "Iterable",
            ),
            "entries: a list may be as long as it is": (
                "if len(found) not in each.counts:",
                "if False:",
            ),
            "entries: what is in a list is not looked at": (
                "if not is_plain or not all(isinstance(one, each.kind) for one in found):",
                "if False:",
            ),
        },
    ),
]
