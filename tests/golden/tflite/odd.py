#!/usr/bin/env python3
"""odd.py FOLDER [NETS [SEED]]: random nets with activations of 16 bits for scripts/tflite-parity, NETS (3) of each operator, whose shapes, scales,
strides, borders and activations are drawn anew:

    python3 tests/golden/tflite/odd.py odd && scripts/tflite-parity --samples 1000 odd/*.tflite
"""
import os
import sys

import numpy as np

from make import ACT, OP, SAME, VALID, Net, option

rng = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
ACTS = (ACT.NONE, ACT.RELU, ACT.RELU_N1_TO_1, ACT.RELU6)
SHARE = 1 / 256  # 2^-15 of 16 bits


def below(n):
    return int(rng.integers(n))


def pick(*choices):
    return choices[below(len(choices))]


def scale(low=0.02, high=0.3):
    """As of bytes: of 16 bits it is finer by 256."""
    return float(rng.uniform(low, high))


def image(net):
    """The input, or now and then what a convolution makes of it: channels come first then."""
    return net.conv(net.input, 1 + below(6), (1, 1), scale=scale(0.05, 0.3)) if below(2) else net.input


def conv(net):
    net.wide = below(3) > 0
    kernel, dilation = (1 + below(3), 1 + below(3)), 1 + below(2)
    return net.conv(net.input, 1 + below(7), kernel, 1 + below(3), SAME, pick(*ACTS), dilation, scale(0.05, 0.8))


def depthwise(net):
    return net.depthwise(image(net), 1 + below(3), (1 + below(4), 1 + below(4)), 1 + below(3), SAME, pick(*ACTS), scale(0.05, 0.6))


def unbiased(net):
    n, h, w, c = net.shape(net.input)
    outputs = 1 + below(5)
    options = option("Conv2D", padding=VALID, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    return net.product(OP.CONV_2D, net.input, net.weights([outputs, 1, 1, c], outputs, 0), [n, h, w, outputs], options, scale(), 0, False)


def linear(net):
    net.wide = below(3) > 0
    x = image(net)
    size = int(np.prod(net.shape(x)))
    x = net.unary(OP.RESHAPE, x, option("Reshape", newShape=[1, size]), shape=[1, size], more=[net.words(1, size)])
    return net.linear(x, 1 + below(20), pick(*ACTS), bool(below(2)), scale(0.2, 2.0), 0, below(3) > 0)


def pair(code, name):
    def make(net):
        x = image(net)
        other = pick(net.shape(x), [net.shape(x)[3]], [], [1, net.shape(x)[1], 1, 1])
        pair_of = [x, net.constant(other, scale())]
        return net.pair(code, *pair_of[::pick(1, -1)], option(name, fusedActivationFunction=pick(*ACTS)), scale(0.05, 0.6), 0)
    return make


def unary(code, options=None, out=None):
    def make(net):
        return net.unary(code, image(net), options() if options else None, out or scale(), 0)
    return make


def pool(code):
    def make(net):
        x = image(net)
        side, whole = 1 + below(3), below(3) == 0 and code == OP.AVERAGE_POOL_2D
        kernel = tuple(net.shape(x)[1:3]) if whole else (side, side)
        return net.pool(code, x, kernel, 1 + below(3), pick(SAME, VALID) if code == OP.MAX_POOL_2D else VALID, pick(*ACTS))
    return make


def mean(net):
    x = image(net)
    axes = pick([1, 2], [1], [2], [3], [2, 3])
    shape = [1 if d in axes else n for d, n in enumerate(net.shape(x))]
    return net.unary(OP.MEAN, x, option("Reducer", keepDims=True), scale(), 0, shape, [net.words(*axes)])


def concatenation(net):
    x = image(net)
    axis = 1 + below(3)
    shape, other = list(net.shape(x)), list(net.shape(x))
    other[axis] = 1 + below(4)
    shape[axis] += other[axis]
    at, _ = net.scale(x)
    return net.op(OP.CONCATENATION, [x, net.constant(other, at)], [net.tensor(shape, scale=at)], option("Concatenation", axis=axis))


def pad(net):
    x = image(net)
    border = rng.integers(0, 3, (4, 2)).astype(np.int32) * np.array([[0], [1], [1], [pick(0, 1)]], np.int32)
    shape = [int(n + b.sum()) for n, b in zip(net.shape(x), border)]
    x = net.unary(OP.PAD, x, option("Pad"), shape=shape, more=[net.tensor([4, 2], border)])
    return net.conv(x, 3, (2, 2), 1, VALID, scale=scale()) if below(2) and min(shape[1:3]) > 1 else x


def transpose(net):
    x = image(net)
    order = [0, *(int(a) for a in 1 + rng.permutation(3))]
    return net.unary(OP.TRANSPOSE, x, option("Transpose"), shape=[net.shape(x)[a] for a in order], more=[net.words(*order)])


def strided_slice(net):
    x = image(net)
    shape, step = net.shape(x), [1, 1 + below(2), 1 + below(2), 1]
    begin = [0, *(below(n) for n in shape[1:])]
    out = [-(-(n - b) // s) for n, b, s in zip(shape, begin, step)]
    return net.unary(OP.STRIDED_SLICE, x, option("StridedSlice"), shape=out, more=[net.words(*begin), net.words(*shape), net.words(*step)])


def quantise(net):
    x = image(net)
    out = net.tensor(net.shape(x), scale=scale(), zero=below(200) - 100, dtype=np.int8) if below(2) else net.tensor(net.shape(x), scale=scale())
    x = net.op(OP.QUANTIZE, [x], [out], option("Quantize"))
    return net.op(OP.QUANTIZE, [x], [net.tensor(net.shape(x), scale=scale())], option("Quantize"))


def dequantise(net):
    x = image(net)
    return net.op(OP.DEQUANTIZE, [x], [net.tensor(net.shape(x), dtype=np.float32)], option("Dequantize"))


def lstm(net):
    _, steps, width = net.shape(net.input)
    cells, clip = 1 + below(9), pick(0.0, 0.0, 1.5)
    at = float(rng.uniform(0.004, 0.0079))
    weights = [net.weights([cells, width], cells, 0, False) for _ in range(4)] + [net.weights([cells, cells], cells, 0, False) for _ in range(4)]
    biases = [net.bias(cells, net.scale(net.input)[0], w) for w in weights[:4]]
    states = [net.tensor([1, cells], scale=at, variable=True),
              net.tensor([1, cells], scale=2.0 ** -pick(11, 12, 13), dtype=np.int16, variable=True)]
    inputs = [net.input, *weights, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    return net.op(OP.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, [net.tensor([1, steps, cells], scale=at)],
                  option("UnidirectionalSequenceLSTM", fusedActivationFunction=ACT.TANH, cellClip=clip, projClip=0.0))


MAKERS = {
    "conv": conv, "depthwise": depthwise, "unbiased": unbiased, "linear": linear, "mean": mean, "concatenation": concatenation, "pad": pad,
    "transpose": transpose, "strided_slice": strided_slice, "quantise": quantise, "dequantise": dequantise, "lstm": lstm,
    "add": pair(OP.ADD, "Add"), "subtract": pair(OP.SUB, "Sub"), "multiply": pair(OP.MUL, "Mul"),
    "relu": unary(OP.RELU), "relu6": unary(OP.RELU6), "logistic": unary(OP.LOGISTIC, out=SHARE), "tanh": unary(OP.TANH, out=SHARE),
    "softmax": unary(OP.SOFTMAX, lambda: option("Softmax", beta=scale(0.3, 2)), SHARE),
    "leaky_relu": unary(OP.LEAKY_RELU, lambda: option("LeakyRelu", alpha=scale())),
    "average_pool": pool(OP.AVERAGE_POOL_2D), "max_pool": pool(OP.MAX_POOL_2D),
}


def main():
    folder, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.makedirs(folder, exist_ok=True)
    for name, maker in MAKERS.items():
        for i in range(count):
            shape = [1, 3 + below(9), 3 + below(7), 1 + below(6)]
            net = Net(f"{name}-{i}", [1, 2 + below(6), 1 + below(9)] if name == "lstm" else shape, np.int16, scale(0.02, 0.1))
            net.write(folder, maker(net))


if __name__ == "__main__":
    main()
