"""ReLU, addition, linear, loss, average pooling, SGD."""

from . import wrongs

RELU = wrongs(
    "relu",
    (
        "dx",
        "zero_is_open",
        """
        def relu_grad(dy, x):
            dx = dy.copy()
            dx[x < 0] = 0
            return dx
        """,
    ),
    ("dx", "not_gated", "def relu_grad(dy, x):\n    return 1.0 * dy"),
    ("dx", "gated_by_dy", "def relu_grad(dy, x):\n    return np.where(dy > 0, dy, 0)"),
    ("dx", "derivative_alone", "def relu_grad(dy, x):\n    return np.heaviside(x, 0.0)"),
    ("dx", "times_x", "def relu_grad(dy, x):\n    return dy * relu(x)"),
    ("dx", "wrong_side", "def relu_grad(dy, x):\n    return np.where(x > 0, 0.0, dy) * (x != 0)"),
    ("dx", "all_has_the_wrong_sign", "def relu_grad(dy, x):\n    return -dy * (x > 0)"),
    ("dx", None, "def relu_grad(dy, x):\n    return np.abs(dy) * (x < 0)"),
    ("y", "absolute", "def relu(x):\n    return np.sqrt(x * x)"),
    ("y", None, "def relu(x):\n    return np.where(x > 0, x, 0.01 * x)"),
)

ADD = wrongs(
    "add",
    ("da", "shared_out", "def add_grad(dy):\n    return 0.5 * dy, 0.5 * dy"),
    ("db", "zero_for_one", "def add_grad(dy):\n    return dy.copy(), 0 * dy"),
    ("da", "shared_memory", "def add_grad(dy):\n    return dy, dy"),
    (
        "db",
        "shared_memory",
        """
        def add_grad(dy):
            da = dy.copy()
            db = da[:]
            return da, db
        """,
    ),
    ("dx", "skip_forgotten", "def skip_grad(dy, branch_grad):\n    return branch_grad(1 * dy)"),
    ("dx", "branch_forgotten", "def skip_grad(dy, branch_grad):\n    return dy + 0"),
    (
        "dx",
        "branch_twice",
        """
        def skip_grad(dy, branch_grad):
            mine = dy.copy()
            through_branch = branch_grad(mine)
            return through_branch + mine
        """,
    ),
    (
        "dx",
        "halved",
        """
        def skip_grad(dy, branch_grad):
            return np.mean([dy, branch_grad(dy.copy())], axis=0)
        """,
    ),
    (
        "dx",
        "the_term_through_the_skip_connection_has_the_wrong_sign",
        "def skip_grad(dy, branch_grad):\n    return branch_grad(dy.copy()) - dy",
    ),
    ("y", "product", "def add(a, b):\n    return a * b"),
)

LINEAR = wrongs(
    "linear",
    (
        "dbias",
        "dbias_averaged",
        "def linear_grad(dy, x, weight):\n    return dy @ weight.T, x.T @ dy, np.average(dy, 0)",
    ),
    (
        "dweight",
        "dweight_averaged",
        """
        def linear_grad(dy, x, weight):
            dweight = np.mean([np.outer(a, b) for a, b in zip(x, dy)], axis=0)
            return dy @ weight.T, dweight, dy.sum(0)
        """,
    ),
    (
        "dweight",
        "dweight_of_last",
        """
        def linear_grad(dy, x, weight):
            dweight = np.zeros(weight.shape)
            for n in range(len(x)):
                dweight = x[n][:, None] * dy[n][None, :]
            return dy @ weight.T, dweight, dy.sum(0)
        """,
    ),
    (
        "dweight",
        "dweight_of_sums",
        """
        def linear_grad(dy, x, weight):
            return dy @ weight.T, np.sum(x, 0)[:, None] * np.sum(dy, 0), dy.sum(0)
        """,
    ),
    (
        "dbias",
        "dbias_of_first",
        "def linear_grad(dy, x, weight):\n    return dy @ weight.T, x.T @ dy, dy[0].copy()",
    ),
    (
        "dx",
        "all_has_the_wrong_sign",
        "def linear_grad(dy, x, weight):\n    return -(dy @ weight.T), x.T @ dy, dy.sum(0)",
    ),
    (
        "dx",
        "all_is_missing",
        "def linear_grad(dy, x, weight):\n    return np.zeros_like(x), x.T @ dy, dy.sum(0)",
    ),
    (
        "y",
        "without_bias",
        "def linear(x, weight, bias):\n    return np.einsum('nc,ck->nk', x, weight)",
    ),
    (
        "dweight",
        None,
        "def linear_grad(dy, x, weight):\n    return dy @ weight.T, (dy.T @ x), dy.sum(0)",
    ),
    ("dx", None, "def linear_grad(dy, x, weight):\n    return dy @ weight, x.T @ dy, dy.sum(0)"),
)

LOSS = wrongs(
    "softmax_cross_entropy",
    (
        "dlogits",
        "not_divided",
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            p = np.exp(logits - logits.max(1)[:, None])
            p = p / p.sum(1)[:, None]
            p[range(len(p)), labels] -= 1
            return p * dloss
        """,
    ),
    (
        "dlogits",
        "divided_twice",
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            n = len(labels)
            p = np.exp(logits - logits.max(1)[:, None])
            p = p / p.sum(1)[:, None] / n
            for i in range(n):
                p[i, labels[i]] -= 1 / n
            return p * dloss / n
        """,
    ),
    (
        "dlogits",
        "grad_not_shifted",
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            e = np.e ** logits
            dlogits = e / e.sum(1).reshape(-1, 1)
            dlogits -= np.eye(logits.shape[1])[labels]
            return dloss * dlogits / len(labels)
        """,
    ),
    (
        "dlogits",
        "dloss_forgotten",
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            e = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
            onehot = np.eye(logits.shape[1])[labels]
            return (e / np.sum(e, axis=-1, keepdims=True) - onehot) / len(labels)
        """,
    ),
    (
        "dlogits",
        "the_term_of_the_true_class_is_missing",
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            e = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
            return dloss * e / np.sum(e, axis=-1, keepdims=True) / len(labels)
        """,
    ),
    (
        "dlogits",
        "over_the_batch",
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            e = np.exp(logits - np.max(logits, axis=0))
            onehot = np.eye(logits.shape[1])[labels]
            return dloss * (e / e.sum(axis=0) - onehot) / len(labels)
        """,
    ),
    (
        "dlogits",
        None,
        """
        def softmax_cross_entropy_grad(dloss, logits, labels):
            e = np.exp(logits - logits.max(1, keepdims=True))
            p = e / e.sum(1, keepdims=True)
            onehot = np.eye(logits.shape[1])[labels]
            return dloss * p * (p - onehot) / len(labels)
        """,
    ),
    (
        "loss",
        "not_shifted",
        """
        def softmax_cross_entropy(logits, labels):
            e = np.exp(logits)
            p = e / e.sum(1)[:, None]
            return sum(-np.log(p[i, k]) for i, k in enumerate(labels)) / len(labels)
        """,
    ),
    (
        "loss",
        "summed",
        """
        def softmax_cross_entropy(logits, labels):
            top = logits.max(1)
            total = np.log(np.exp(logits - top[:, None]).sum(1)) + top
            return (total - logits[range(len(labels)), labels]).sum()
        """,
    ),
    (
        "loss",
        "logarithm_of_zero",
        """
        def softmax_cross_entropy(logits, labels):
            e = np.exp(logits - logits.max(1, keepdims=True))
            p = e / e.sum(1, keepdims=True)
            return -np.mean(np.log(np.take_along_axis(p, labels[:, None], 1)))
        """,
    ),
)

AVERAGE = wrongs(
    "global_avg_pool",
    (
        "dx",
        "not_divided",
        "def global_avg_pool_grad(dy, x_shape):\n    return np.ones(x_shape) * dy[:, None, None]",
    ),
    (
        "dx",
        "divided_by_all",
        """
        def global_avg_pool_grad(dy, x_shape):
            n, h, w, c = x_shape
            return np.tile(dy.reshape(n, 1, 1, c), (1, h, w, 1)) / (n * h * w)
        """,
    ),
    (
        "dx",
        "divided_by_square",
        """
        def global_avg_pool_grad(dy, x_shape):
            n, h, w, c = x_shape
            return np.tile(dy.reshape(n, 1, 1, c), (1, h, w, 1)) / (h * h)
        """,
    ),
    (
        "dx",
        "divided_by_channels",
        """
        def global_avg_pool_grad(dy, x_shape):
            n, h, w, c = x_shape
            dx = np.empty(x_shape)
            dx[...] = dy[:, np.newaxis, np.newaxis, :] / (h * w * c)
            return dx
        """,
    ),
    (
        "dx",
        "to_one_pixel",
        """
        def global_avg_pool_grad(dy, x_shape):
            dx = np.zeros(x_shape)
            for n in range(x_shape[0]):
                dx[n, 0, 0] += dy[n]
            return dx
        """,
    ),
    ("y", "summed", "def global_avg_pool(x):\n    return np.einsum('nhwc->nc', x)"),
    ("y", "largest", "def global_avg_pool(x):\n    return x.max(1).max(1)"),
    ("y", None, "def global_avg_pool(x):\n    return x.mean(axis=(1, 3))"),
)

SGD = wrongs(
    "sgd",
    (
        "new_velocity",
        "dampened",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            g = grad + weight_decay * parameter
            v = momentum * velocity + (1 - momentum) * g
            return parameter - lr * v, v
        """,
    ),
    (
        "new_parameter",
        "without_decay",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            v = velocity * momentum + grad
            return parameter - v * lr, v
        """,
    ),
    (
        "new_velocity",
        "without_decay",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            v = velocity * momentum + grad
            shrunk = parameter * (1 - lr * weight_decay)
            return shrunk - v * lr, v
        """,
    ),
    (
        "new_velocity",
        "lr_inside",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            step = lr * grad + lr * weight_decay * parameter
            v = velocity * momentum + step
            return parameter - v, v
        """,
    ),
    (
        "new_parameter",
        "nesterov",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            g = grad + weight_decay * parameter
            v = velocity * momentum + g
            return parameter - lr * g - lr * momentum * v, v
        """,
    ),
    (
        "new_parameter",
        "old_velocity",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            moved = parameter - lr * velocity
            return moved, momentum * velocity + weight_decay * parameter + grad
        """,
    ),
    (
        "new_parameter",
        "uphill",
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            v = momentum * velocity + weight_decay * parameter + grad
            return parameter + lr * v, v
        """,
    ),
    (
        "new_velocity",
        None,
        """
        def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
            v = momentum * velocity + grad + weight_decay * np.sign(parameter)
            return parameter - lr * v, v
        """,
    ),
)

ALL = [*RELU, *ADD, *LINEAR, *LOSS, *AVERAGE, *SGD]
