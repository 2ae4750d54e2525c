"""Module: names and their order, modes, hooks, state, and what it refuses."""

import copy

import numpy as np
import pytest

from minires import Tensor, nn
from minires.nn import (
    BatchNorm2d,
    Conv2d,
    Linear,
    Module,
    ModuleList,
    Parameter,
    ReLU,
    Sequential,
)
from minires.nn.functional import relu


class Small(Module):
    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.scale = Parameter(np.ones(2))
        self.body = Sequential(Conv2d(3, 4, 3, rng=rng), BatchNorm2d(4), ReLU())
        self.head = Linear(4, 2, rng=rng)

    def forward(self, x):
        return self.head(self.body(x).mean((1, 2)))


@pytest.fixture
def model():
    return Small()


@pytest.fixture
def images(rng):
    return Tensor(rng.standard_normal((2, 5, 5, 3)).astype(np.float32))


PARAMETERS = [
    "scale",
    "body.0.weight",
    "body.1.weight",
    "body.1.bias",
    "head.weight",
    "head.bias",
]
BUFFERS = ["body.1.running_mean", "body.1.running_var"]


# -------------------------------------------------------------------------------------- names


def test_parameters_and_buffers_have_dotted_names_in_the_order_of_assignment(model):
    assert [name for name, _ in model.named_parameters()] == PARAMETERS
    assert [name for name, _ in model.named_buffers()] == BUFFERS
    assert list(model.state_dict()) == PARAMETERS + BUFFERS
    assert model.parameters() == [parameter for _, parameter in model.named_parameters()]


def test_modules_come_before_their_children(model):
    names = [name for name, _ in model.named_modules()]
    assert names == ["", "body", "body.0", "body.1", "body.2", "head"]


def test_a_replaced_parameter_keeps_its_place(model):
    model.scale = Parameter(np.zeros(2))
    assert [name for name, _ in model.named_parameters()] == PARAMETERS
    assert not model.parameters()[0].data.any()


def test_an_attribute_that_was_none_can_become_a_parameter_or_a_module(model):
    model.extra = model.late = None
    model.extra = Parameter(np.ones(1))
    model.late = ReLU()
    assert isinstance(model.extra, Parameter)
    assert isinstance(model.late, ReLU)
    assert "extra" in dict(model.named_parameters())


def test_a_module_in_two_places_has_two_names_and_is_trained_once(model):
    model.same_head = model.head
    assert len(model.parameters()) == len(PARAMETERS)
    assert "same_head.weight" in model.state_dict()


def test_a_sequence_can_be_iterated_counted_and_indexed(model):
    assert len(model.body) == len(list(model.body)) == 3
    assert model.body[1] is list(model.body)[1]
    assert isinstance(model.body[-1], ReLU)


def test_repr_shows_the_tree(model):
    lines = [line.strip() for line in repr(model).splitlines()]
    assert lines[0] == "Small("
    assert "(0): Conv2d(3, 4, kernel_size=3, stride=1, padding=0)" in lines
    assert "(head): Linear(4, 2)" in lines
    assert repr(model).splitlines()[2].startswith("    (0)")


def test_repr_shows_layers_that_are_alike_once():
    stack = Sequential(ReLU(), *(Linear(2, 2) for _ in range(5)), Linear(2, 3))
    lines = [
        "Sequential(",
        "  (0): ReLU()",
        "  (1-5): 5 x Linear(2, 2)",
        "  (6): Linear(2, 3)",
        ")",
    ]
    assert repr(stack).splitlines() == lines


def test_children_modules_and_what_is_applied_to_them(model):
    assert list(model.children()) == [model.body, model.head]
    assert list(model.modules()) == [module for _, module in model.named_modules()]
    seen = []
    assert model.apply(seen.append) is model
    assert seen == [*model.body, model.body, model.head, model]


# ------------------------------------------------------------------------------------ lists


class Looped(Module):
    """Layers in a list, run by hand."""

    def __init__(self):
        super().__init__()
        self.layers = ModuleList(Linear(2, 2) for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_a_module_list_is_trained(rng):
    model = Looped()
    assert [name for name, _ in model.named_parameters()][::2] == [
        "layers.0.weight",
        "layers.1.weight",
    ]
    model.layers.append(Linear(2, 3))
    assert model(Tensor(rng.standard_normal((4, 2)).astype(np.float32))).shape == (4, 3)
    assert len(model.layers) == 3
    assert model.layers[-1] is list(model.layers)[2]


HIDDEN = {
    "a list": lambda layer: [layer],
    "a tuple": lambda layer: (1, layer),
    "a dictionary": lambda layer: {"first": layer},
    "a set": lambda layer: {layer},
    "a list of lists": lambda layer: [[], [layer]],
    "a list of parameters": lambda layer: [layer.weight],
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN.keys())
def test_layers_that_would_not_be_trained_are_refused(model, hide):
    with pytest.raises(TypeError, match=r"Small.convs is a \w+ with .* Sequential.* ModuleList"):
        model.convs = hide(Linear(2, 2))
    assert len(model.parameters()) == len(PARAMETERS)


def test_a_list_that_gets_layers_later_is_refused_when_they_would_be_missing(model):
    model.convs = []
    model.parameters()
    model.convs.append(Linear(2, 2))
    with pytest.raises(TypeError, match=r"Small\.convs is a list with modules"):
        model.parameters()


def test_lists_of_something_else_are_attributes_like_others(model):
    model.sizes, model.table, model.words = [1, 2], {"a": (3,)}, ("a", "b")
    model.last = model.head.weight * 2  # computed, not to be trained
    assert model.sizes == [1, 2]


def test_a_tensor_that_would_not_be_trained_is_refused(model):
    with pytest.raises(TypeError, match=r"Small.scales would not be trained: make it a Parameter"):
        model.scales = Tensor([1.0], requires_grad=True)
    model.scales = Tensor([1.0])  # a constant


def test_a_forward_without_return_is_named(images):
    class Forgetful(Module):
        def forward(self, x):
            x * 2

    with pytest.raises(
        TypeError, match=r"Forgetful.forward returned None: is its `return` missing"
    ):
        Sequential(Forgetful())(images)


# -------------------------------------------------------------------------------------- modes


def test_eval_and_train_reach_every_module(model):
    assert model.eval() is model
    assert not any(module.training for _, module in model.named_modules())
    model.train()
    assert all(module.training for _, module in model.named_modules())


def test_a_part_can_be_switched_alone(model):
    model.body[1].eval()
    assert model.training
    assert not model.body[1].training


def test_evaluation_for_a_while_ends_with_the_block_even_when_it_fails(model):
    model.body[1].eval()
    before = [module.training for _, module in model.named_modules()]

    def evaluation_that_fails():
        with nn.evaluating(model):
            assert not any(module.training for _, module in model.named_modules())
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        evaluation_that_fails()
    assert [module.training for _, module in model.named_modules()] == before


def test_zero_grad_forgets_every_gradient(model, images):
    model(images).sum().backward()
    assert model.head.weight.grad is not None
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_a_copy_is_independent(model, images):
    twin = copy.deepcopy(model)
    twin.head.weight += 1.0
    assert [name for name, _ in twin.named_parameters()] == PARAMETERS
    assert not np.array_equal(twin(images).data, model(images).data)
    assert np.array_equal(twin.body[0].weight.data, model.body[0].weight.data)


# -------------------------------------------------------------------------------------- hooks


def test_a_forward_hook_sees_module_inputs_and_output_until_it_is_removed(model, images):
    seen = []
    handle = model.head.register_forward_hook(lambda *call: seen.append(call))
    output = model(images)
    handle.remove()
    handle.remove()
    model(images)
    [(module, inputs, result)] = seen
    assert module is model.head
    assert result is output
    assert inputs[0].shape == (2, 4)


def test_a_hook_in_a_with_block_ends_with_it_even_when_it_fails(model, images):
    calls = []

    def fail_after_a_forward():
        with model.register_forward_hook(lambda *_: calls.append(1)):
            model(images)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_forward()
    model(images)
    assert calls == [1]


def test_hooks_run_in_order_and_may_remove_themselves(model, images):
    calls = []

    def once(*_):
        calls.append("first")
        first.remove()

    first = model.register_forward_hook(once)
    model.register_forward_hook(lambda *_: calls.append("second"))
    model(images)
    model(images)
    assert calls == ["first", "second", "second"]


@pytest.mark.parametrize("hook", [None, 1, "f"])
def test_a_hook_must_be_a_function(model, hook):
    with pytest.raises(TypeError, match=f"a hook must be a function, but is {type(hook).__name__}"):
        model.register_forward_hook(hook)


def test_a_hook_that_returns_something_is_refused(model, images):
    model.head.register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(TypeError, match="a hook returned Tensor, but hooks only look on"):
        model(images)


# -------------------------------------------------------------------------------------- state


def test_what_fits_of_a_state_is_taken_and_the_rest_is_listed(model):
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["scale"]
    state["head.weight"] = np.zeros((4, 3), np.float32)
    state["head.scale"] = np.ones(2, np.float32)
    assert model.load_state_dict(state, strict=False) == [
        "head.weight: expected (4, 2) float32, but got (4, 3) float32",
        "missing: scale (2,)",
        "unexpected: head.scale (2,)",
    ]
    for name, array in model.state_dict().items():
        left_out = name in ("scale", "head.weight")
        np.testing.assert_array_equal(array, before[name] + (0 if left_out else 1))
    assert model.load_state_dict(model.state_dict()) == []


@pytest.mark.parametrize("state", [None, "net.pth", [1], {"scale": [1.0, 2.0]}, {"scale": None}])
def test_a_state_is_a_dictionary_of_arrays(model, state):
    with pytest.raises(TypeError, match=f"arrays by name, .* but is {type(state).__name__}"):
        model.load_state_dict(state, strict=False)


def test_a_state_that_was_saved_and_loaded_gives_the_same_outputs(model, images):
    model(images)  # moves the running statistics
    state = model.state_dict()
    other = Small()
    other.head.weight += 1.0
    other.load_state_dict(state)
    for network in (model, other):
        network.eval()
    np.testing.assert_array_equal(other(images).data, model(images).data)


def test_a_state_is_a_copy_both_ways(model):
    state = model.state_dict()
    model.scale += 1.0
    assert state["scale"].tolist() == [1, 1]
    model.load_state_dict(state)
    state["scale"] += 5
    assert model.scale.data.tolist() == [1, 1]


def test_loading_keeps_the_parameters_themselves(model):
    """An optimiser holds them."""
    before = [(p, p.data) for p in model.parameters()]
    model.load_state_dict(Small().state_dict())
    assert all(p is q and p.data is d for p, (q, d) in zip(model.parameters(), before, strict=True))


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


MISFITS = {
    "missing parameter": (lambda s: without(s, "head.bias"), r"missing: head\.bias \(2,\)"),
    "missing buffer": (
        lambda s: without(s, "body.1.running_var"),
        r"missing: body\.1\.running_var \(4,\)",
    ),
    "unexpected": (lambda s: s | {"tail": np.ones(3)}, r"unexpected: tail \(3,\)"),
    "wrong shape": (
        lambda s: s | {"head.weight": np.ones((2, 4), np.float32)},
        r"head\.weight: expected \(4, 2\) float32, but got \(2, 4\) float32",
    ),
    "shape that would broadcast": (
        lambda s: s | {"head.bias": np.ones(1, np.float32)},
        r"head\.bias: expected \(2,\) float32, but got \(1,\) float32",
    ),
    "wrong dtype": (
        lambda s: s | {"head.bias": np.ones(2)},
        r"head\.bias: expected \(2,\) float32, but got \(2,\) float64",
    ),
}


@pytest.mark.parametrize(("spoil", "sentence"), MISFITS.values(), ids=MISFITS.keys())
def test_a_state_that_does_not_fit_is_refused_whole(model, spoil, sentence):
    before = model.state_dict()
    state = spoil({name: array + 1 for name, array in before.items()})
    with pytest.raises(ValueError, match=f"does not fit the Small:\n  {sentence}"):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_every_misfit_is_listed(model):
    state = model.state_dict()
    for spoil, _ in MISFITS.values():
        state = spoil(state)
    with pytest.raises(ValueError, match="does not fit") as caught:
        model.load_state_dict(state)
    assert len(str(caught.value).splitlines()) == 1 + 4  # of two with head.bias, one is left


def test_loading_between_forward_and_backward_is_noticed(model, images):
    loss = model(images).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match="has been changed in place"):
        loss.backward()


# ------------------------------------------------------------------------------------ refusals


def test_assignment_before_init_is_refused():
    class Hasty(Module):
        def __init__(self):
            self.weight = Parameter(np.ones(1))

    with pytest.raises(
        AttributeError, match=r"Hasty: call super\(\).__init__\(\) before.*'weight'"
    ):
        Hasty()


def test_a_missing_attribute_is_an_error_and_not_none(model):
    with pytest.raises(AttributeError, match="Small has no attribute 'mode'"):
        _ = model.mode
    assert not hasattr(model, "mode")


REPLACEMENTS = {
    "a parameter by an array": ("scale", np.ones(2), "Small.scale is a Parameter .* by a ndarray"),
    "a parameter by a tensor": ("scale", Tensor([1.0]), "is a Parameter and can't .* by a Tensor"),
    "a module by a function": ("head", relu, "Small.head is a Module .* by a function"),
    "a module by a parameter": ("head", Parameter(np.ones(1)), "is a Module .* by a Parameter"),
}


@pytest.mark.parametrize(
    ("name", "value", "sentence"), REPLACEMENTS.values(), ids=REPLACEMENTS.keys()
)
def test_what_is_registered_cannot_become_something_else(model, name, value, sentence):
    with pytest.raises(TypeError, match=sentence):
        setattr(model, name, value)
    assert list(model.state_dict()) == PARAMETERS + BUFFERS


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"Module does not define forward\(\)"):
        Module()(1)


def test_a_linear_layer_says_what_images_need():
    layer = Linear(4, 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"x must be \(N, 4\).*GlobalAvgPool or Flatten first"):
        layer(Tensor(np.ones((2, 3, 3, 4), np.float32)))


def test_a_convolution_names_the_channels_it_expects():
    layer = Conv2d(16, 16, 3, rng=np.random.default_rng(0))
    with pytest.raises(
        ValueError, match=r"x has 3 channels \(1, 5, 5, 3\) but weight .* expects 16"
    ):
        layer(Tensor(np.ones((1, 5, 5, 3), np.float32)))


def test_a_network_in_float32_refuses_images_in_float64(model):
    with pytest.raises(TypeError, match="ConvolveNormalise: all tensors must share a dtype"):
        model(Tensor(np.ones((1, 5, 5, 3))))
