"""Plain or residual: predict the gradient at layer 1, before you measure it.

You have written every part of a residual network. Now say what becomes of a gradient in it. Take 27
blocks, 54 layers, just initialised, never trained:

    y = relu(F(x) + shortcut * x),    F = conv, [batch norm,] relu, conv [, batch norm]

with 3 x 3 convolutions of 16 channels on 8 x 8 maps, weights as in He et al. 2015 (variance
2 / fan_in) times weight_scale. shortcut = 1 is a residual network, 0 a plain one. A random gradient
is put in at the end; how large is it when it arrives at layer 1?

    "vanishes"         less than a hundredth is left
    "explodes"         it has become more than a hundred times larger
    "keeps its size"   anything between

Write your theory as a program, then check it: the engine builds eight such networks and measures.
Do not look first. And be careful with what you have read: a good part of it is wrong.
"""


def predict(shortcut, batch_norm, weight_scale):
    """Your prediction for one network.

    shortcut: 0, 0.5 or 1;  batch_norm: True or False;  weight_scale: 0.7 or 1.
    Returns "vanishes", "keeps its size" or "explodes".
    """
    # solution
    if batch_norm:
        return "keeps its size" if shortcut == 1 else "explodes"
    if weight_scale < 1:
        return "vanishes"
    return "explodes" if shortcut == 1 else "keeps its size"
    # end
