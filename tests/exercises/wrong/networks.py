"""Batch norm, the residual block, predictions."""

from . import wrongs

FORWARD = """
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    n, h, w, c = x.shape
    m = n * h * w
    flat = x.reshape(m, c)
    mu = np.array([flat[:, k].sum() / m for k in range(c)])
    var = np.array([((flat[:, k] - mu[k]) ** 2).sum() / m for k in range(c)])
    rm, rv = running_mean.copy(), running_var.copy()
    if training:
        rm = rm + momentum * (mu - rm)
        rv = rv + momentum * (var * m / (m - 1) - rv)
    else:
        mu, var = running_mean, running_var
    y = (flat - mu) * (var + eps) ** -0.5 * gamma + beta
    return y.reshape(x.shape), rm, rv
"""


def forward(old, new):
    """With one change."""
    assert old in FORWARD
    return FORWARD.replace(old, new)


BATCH_NORM = wrongs(
    "batch_norm",
    (
        "y",
        "unbiased_in_y",
        forward("    y = (flat", "    var = var * m / (m - 1) if training else var\n    y = (flat"),
    ),
    ("y", "eps_outside", forward("(var + eps) ** -0.5", "1 / (var ** 0.5 + eps)")),
    ("y", "batch_in_evaluation", forward("mu, var = running_mean, running_var", "pass")),
    ("y", "root_forgotten", forward("(var + eps) ** -0.5", "/ (var + eps)").replace("* / ", "/ ")),
    ("y", "beta_forgotten", forward("* gamma + beta", "* gamma")),
    ("y", "eps_forgotten", forward("(var + eps)", "var")),
    ("new_var", "var_biased", forward("var * m / (m - 1) - rv", "var - rv")),
    (
        "new_mean",
        "mean_inverted",
        forward("rm = rm + momentum * (mu - rm)", "rm = momentum * rm + (1 - momentum) * mu"),
    ),
    (
        "new_var",
        "var_inverted",
        forward(
            "rv = rv + momentum * (var * m / (m - 1) - rv)",
            "rv = momentum * rv + (1 - momentum) * flat.var(0, ddof=1)",
        ),
    ),
    (
        "new_mean",
        "mean_in_evaluation",
        forward("if training:", "if True:").replace("    else:", "    if not training:"),
    ),
    ("new_mean", "mean_left_alone", forward("rm = rm + momentum * (mu - rm)", "pass")),
    ("y", None, forward("** -0.5", "** -0.4")),
    (
        "y",
        "each_image",
        """
        def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps):
            if not training:
                y = (x - running_mean) / np.sqrt(running_var + eps) * gamma + beta
                return y, running_mean, running_var
            y = np.stack([(i - i.mean((0, 1))) / np.sqrt(i.var((0, 1)) + eps) for i in x])
            m = x[..., 0].size
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2), ddof=1)
            mix = lambda old, new: old * (1 - momentum) + new * momentum
            return y * gamma + beta, mix(running_mean, mean), mix(running_var, var)
        """,
    ),
)

GRAD = """
def batch_norm_grad(dy, x, gamma, eps):
    m = x.size // len(gamma)
    flat, d = x.reshape(m, -1), dy.reshape(m, -1)
    centred = flat - flat.mean(0)
    var = (centred ** 2).mean(0)
    inverse = 1 / np.sqrt(var + eps)
    hat = centred * inverse
    dhat = d * gamma
    dvar = (dhat * centred * -0.5 * inverse ** 3).sum(0)
    dmean = (-dhat * inverse).sum(0)
    dx = dhat * inverse + dvar * 2 * centred / m + dmean / m
    return dx.reshape(x.shape), (d * hat).sum(0), d.sum(0)
"""


def grad(old, new):
    """With one change."""
    assert old in GRAD
    return GRAD.replace(old, new)


BATCH_NORM_GRAD = wrongs(
    "batch_norm_grad",
    ("dx", "the_term_through_the_variance_is_missing", grad(" + dvar * 2 * centred / m", "")),
    ("dx", "the_term_through_the_mean_is_missing", grad(" + dmean / m", "")),
    (
        "dx",
        "the_term_through_the_mean_is_missing+the_term_through_the_variance_is_missing",
        grad(" + dvar * 2 * centred / m + dmean / m", ""),
    ),
    ("dx", "the_term_through_the_variance_has_the_wrong_sign", grad("* -0.5", "* 0.5")),
    ("dx", "the_term_through_the_variance_is_halved", grad("dvar * 2 * centred", "dvar * centred")),
    (
        "dx",
        "the_term_through_the_variance_is_multiplied_by_0_999",
        grad("* -0.5", "* -0.4995"),
    ),
    ("dx", "all_is_missing", grad("dhat = d * gamma", "dhat = 0 * d")),
    ("dx", "gamma_not_in_dx", grad("dhat = d * gamma", "dhat = d")),
    ("dx", "sums_for_means", grad("centred / m + dmean / m", "centred + dmean")),
    ("dgamma", "dgamma_without_x_hat", grad("(d * hat).sum(0), d", "d.sum(0), d")),
    ("dgamma", "dgamma_with_x", grad("d * hat", "d * flat")),
    ("dgamma", "dgamma_averaged", grad("(d * hat).sum(0)", "(d * hat).mean(0)")),
    ("dbeta", "dbeta_averaged", grad("hat).sum(0), d.sum(0)", "hat).sum(0), d.mean(0)")),
    (
        "dx",
        "unbiased_variance",
        """
        def batch_norm_grad(dy, x, gamma, eps):
            axes = (0, 1, 2)
            m = np.prod(x.shape[:3])
            std = np.sqrt(np.var(x, axes, ddof=1) + eps)
            hat = (x - np.mean(x, axes)) / std
            dgamma, dbeta = np.sum(dy * hat, axes), np.sum(dy, axes)
            return gamma / std / m * (m * dy - dbeta - hat * dgamma), dgamma, dbeta
        """,
    ),
    ("dx", None, grad("dhat * inverse +", "dhat * np.sqrt(inverse) +")),
)

BLOCK = """
def residual_block(x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps):
    b = conv2d(x, weight1, padding=1)
    b = batch_norm(b, gamma1, beta1, eps=eps)[0]
    b = b * (b > 0)
    b = conv2d(b, weight2, padding=1)
    b = batch_norm(b, gamma2, beta2, eps=eps)[0]
    b = b + x
    return b * (b > 0)
"""


def block(old, new):
    """With one change."""
    assert old in BLOCK
    return BLOCK.replace(old, new, 1)


BLOCK_GRAD = """
def residual_block_grad(dy, x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps):
    def back(d, inp, w, z, g, mean, var):
        dz, dg, db, _ = batch_norm_grad(d, z, g, mean, var, eps=eps)
        dw = conv2d_weight_grad(dz, inp, kernel_size=(3, 3), padding=1)
        return conv2d_input_grad(dz, w, x_shape=inp.shape, padding=1), dw, dg, db

    u = conv2d(x, weight1, padding=1)
    un, mu, su = batch_norm(u, gamma1, beta1, eps=eps)
    r = np.maximum(un, 0)
    v = conv2d(r, weight2, padding=1)
    vn, mv, sv = batch_norm(v, gamma2, beta2, eps=eps)
    d = np.where(vn + x > 0, dy, 0.0)
    skip = d
    d, dw2, dg2, db2 = back(d, r, weight2, v, gamma2, mv, sv)
    d = np.where(un > 0, d, 0.0)
    d, dw1, dg1, db1 = back(d, x, weight1, u, gamma1, mu, su)
    return d + skip, dw1, dg1, db1, dw2, dg2, db2
"""


def block_grad(old, new):
    """With one change."""
    assert old in BLOCK_GRAD
    return BLOCK_GRAD.replace(old, new, 1)


RESIDUAL = wrongs(
    "residual_block",
    ("y", "no_skip", block("b = b + x", "")),
    (
        "y",
        "relu_before_addition",
        block("    b = b + x\n    return b * (b > 0)", "    return b * (b > 0) + x"),
    ),
    ("y", "no_last_relu", block("return b * (b > 0)", "return b")),
    ("y", "no_inner_relu", block("b = b * (b > 0)", "")),
    (
        "dx",
        "the_term_through_the_skip_connection_is_missing",
        block_grad("return d + skip", "return d"),
    ),
    (
        "dx",
        "the_term_through_the_branch_is_missing",
        block_grad("return d + skip", "return skip.copy()"),
    ),
    ("dx", "skip_not_gated", block_grad("skip = d", "skip = dy")),
    ("dx", "nothing_gated", block_grad("d = np.where(vn + x > 0, dy, 0.0)", "d = dy")),
    ("dx", "inner_relu_ignored", block_grad("d = np.where(un > 0, d, 0.0)", "")),
    ("dx", "all_is_halved", block_grad("return d + skip", "return (d + skip) / 2")),
    ("dweight1", "inner_relu_ignored", block_grad("d = np.where(un > 0, d, 0.0)", "")),
    ("dgamma2", "last_relu_ignored", block_grad("d = np.where(vn + x > 0, dy, 0.0)", "d = dy")),
    ("dx", None, block_grad("vn + x > 0", "vn > 0")),
)


def rule(expression):
    """A prediction in one expression of skip, norm and scale."""
    return (
        "def predict(shortcut, batch_norm, weight_scale):\n"
        "    v, k, e = 'vanishes', 'keeps its size', 'explodes'\n"
        f"    return {expression}\n"
    )


PREDICTIONS = wrongs(
    "plain_or_residual",
    ("prediction", "the_slogan", rule("v if shortcut < 1 else k")),
    ("prediction", "plain_vanishes", rule("k if shortcut else v")),
    ("prediction", "norm_cures", rule("{True: k, False: v}[batch_norm]")),
    ("prediction", "norm_cures_scale", rule("v if weight_scale == 0.7 and not batch_norm else k")),
    ("prediction", "scale_decides", rule("k if weight_scale == 1 else v")),
    ("prediction", "everything_vanishes", rule("v")),
    ("prediction", "everything_explodes", rule("e")),
    (
        "prediction",
        "residual_without_norm",
        rule("k if shortcut == 1 else e if batch_norm else v if weight_scale < 1 else k"),
    ),
    (
        "prediction",
        "plain_with_norm",
        rule(
            "(v if not shortcut else k if shortcut == 1 else e) if batch_norm else "
            "v if weight_scale < 1 else e if shortcut else k"
        ),
    ),
    ("prediction", None, rule("'I do not know'")),
)

ALL = [*BATCH_NORM, *BATCH_NORM_GRAD, *RESIDUAL, *PREDICTIONS]
