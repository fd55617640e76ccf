#!/usr/bin/env python3
"""Tiny TFLite files, and what TensorFlow Lite Micro's reference kernels say of them: NAME.tflite, and NAME.safetensors with the input x (as
the file has it: i8, i16 or f32) and the outputs y0, y1, ..  Needs numpy, ai-edge-litert (for the schema) and tflite-micro (a pre-release):

    python3 tests/golden/tflite/make.py
"""
import os
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from write import save  # noqa: E402

rng = np.random.default_rng(20)
OP, ACT, TYPE = schema.BuiltinOperator, schema.ActivationFunctionType, schema.TensorType
TYPES = {np.dtype(np.float32): TYPE.FLOAT32, np.dtype(np.int8): TYPE.INT8, np.dtype(np.int32): TYPE.INT32,
         np.dtype(np.int16): TYPE.INT16, np.dtype(np.int64): TYPE.INT64}
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


class Net:
    """A file under construction: tensors and operators are added in order.  Scales and zeros are those of bytes: of a net of 16 bits scales
    become finer and zeros 0."""

    def __init__(self, name, shape, dtype=np.int8, scale=0.05, zero=3, given=None):
        self.name, self.dtype, self.given, self.wide = name, np.dtype(dtype), np.dtype(given or dtype), True
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "tern"
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.model.subgraphs = [self.graph]
        self.input = self.tensor(shape, scale=scale, zero=zero, dtype=given)
        self.graph.inputs = [self.input]

    def tensor(self, shape, data=None, scale=None, zero=0, axis=0, dtype=None, variable=False):
        t = schema.TensorT()
        fine = self.dtype == np.int16 and dtype is None and (data is None or data.dtype == np.int16)
        dtype = np.dtype(data.dtype if data is not None else dtype or self.dtype)
        if fine and scale is not None:
            finer = scale if scale < 0.006 else scale / 256  # it may be that of another tensor
            scale, zero = 2.0**-15 if scale in (1 / 256, 1 / 128) else finer, 0
        t.type, t.shape, t.name, t.isVariable = TYPES[dtype], list(shape), f"t{len(self.graph.tensors)}", variable
        t.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            t.buffer = len(self.model.buffers) - 1
        if scale is not None and dtype != np.float32:
            q = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            q.scale, q.zeroPoint = scales, np.full(scales.shape, zero, np.int64)
            q.quantizedDimension = axis
            t.quantization = q
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def words(self, *numbers):
        data = np.array(numbers, np.int32)
        return self.tensor(data.shape, data)

    def op(self, code, inputs, outputs, options=None, version=2):
        o = schema.OperatorT()
        c = schema.OperatorCodeT()
        c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), version
        self.model.operatorCodes.append(c)
        o.opcodeIndex, o.inputs, o.outputs = len(self.model.operatorCodes) - 1, inputs, outputs
        if options is not None:
            o.builtinOptions = options
            name = type(options).__name__[:-1]
            o.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self.graph.operators.append(o)
        return outputs[0]

    def shape(self, t):
        return self.graph.tensors[t].shape

    def scale(self, t):
        q = self.graph.tensors[t].quantization
        return (float(q.scale[0]), int(q.zeroPoint[0])) if q is not None else (None, 0)

    def weights(self, shape, outputs, axis, many=True):
        """Bytes with a scale for each output, or floats."""
        if self.dtype == np.float32:
            return self.tensor(shape, (rng.normal(size=shape) / np.sqrt(np.prod(shape) / outputs)).astype(np.float32))
        data = rng.integers(-127, 128, shape).astype(np.int8)
        scales = rng.uniform(0.5, 1.5, outputs if many else 1) * 0.02
        return self.tensor(shape, data, scale=scales.astype(np.float32), axis=axis)

    def bias(self, outputs, scale_in, weights):
        if self.dtype == np.float32:
            return self.tensor([outputs], rng.normal(size=outputs).astype(np.float32))
        scales = np.asarray(self.graph.tensors[weights].quantization.scale) * np.float32(scale_in)
        if self.dtype == np.int16:
            data = rng.integers(-900, 900, outputs) * 256
            return self.tensor([outputs], data.astype(np.int64 if self.wide else np.int32), scale=scales)
        return self.tensor([outputs], rng.integers(-900, 900, outputs).astype(np.int32), scale=scales)

    def product(self, code, x, weights, out, options, scale, zero, biased=True):
        outputs = self.shape(weights)[3] if code == OP.DEPTHWISE_CONV_2D else self.shape(weights)[0]
        inputs = [x, weights] + ([self.bias(outputs, self.scale(x)[0], weights)] if biased else [])
        return self.op(code, inputs, [self.tensor(out, scale=scale, zero=zero)], options, 3)

    def conv(self, x, outputs, kernel, stride=1, padding=SAME, act=ACT.NONE, dilation=1, scale=0.1, zero=-7):
        n, h, w, c = self.shape(x)
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = padding, stride, stride
        options.dilationHFactor = options.dilationWFactor = dilation
        options.fusedActivationFunction = act
        weights = self.weights([outputs, *kernel, c], outputs, 0)
        out = [n, *extent((h, w), kernel, stride, padding, dilation), outputs]
        return self.product(OP.CONV_2D, x, weights, out, options, scale, zero)

    def depthwise(self, x, times, kernel, stride=1, padding=SAME, act=ACT.NONE, scale=0.08, zero=5):
        n, h, w, c = self.shape(x)
        options = schema.DepthwiseConv2DOptionsT()
        options.padding, options.strideH, options.strideW = padding, stride, stride
        options.depthMultiplier = times
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = act
        weights = self.weights([1, *kernel, c * times], c * times, 3)
        out = [n, *extent((h, w), kernel, stride, padding, 1), c * times]
        return self.product(OP.DEPTHWISE_CONV_2D, x, weights, out, options, scale, zero)

    def linear(self, x, outputs, act=ACT.NONE, many=False, scale=0.1, zero=0, biased=True):
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = act
        rows, width = self.shape(x)
        weights = self.weights([outputs, width], outputs, 0, many)
        return self.product(OP.FULLY_CONNECTED, x, weights, [rows, outputs], options, scale, zero, biased)

    def pool(self, code, x, kernel, stride, padding=VALID, act=ACT.NONE):
        n, h, w, c = self.shape(x)
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = padding, stride, stride
        options.filterHeight, options.filterWidth = kernel
        options.fusedActivationFunction = act
        scale, zero = self.scale(x)
        out = self.tensor([n, *extent((h, w), kernel, stride, padding, 1), c], scale=scale, zero=zero)
        return self.op(code, [x], [out], options)

    def unary(self, code, x, options=None, scale=None, zero=0, shape=None, more=()):
        """One operand; scale None: that of x."""
        if scale is None:
            scale, zero = self.scale(x)
        out = self.tensor(self.shape(x) if shape is None else shape, scale=scale, zero=zero)
        return self.op(code, [x, *more], [out], options)

    def pair(self, code, a, b, options, scale, zero):
        shape = np.broadcast_shapes(tuple(self.shape(a)), tuple(self.shape(b)))
        return self.op(code, [a, b], [self.tensor([int(d) for d in shape], scale=scale, zero=zero)], options)

    def constant(self, shape, scale=0.03, zero=11):
        if self.dtype == np.float32:
            return self.tensor(shape, rng.normal(size=shape).astype(np.float32))
        return self.tensor(shape, whole_numbers(self.dtype, shape), scale=scale, zero=zero)

    def write(self, folder, *outputs):
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        content = bytes(builder.Output())
        with open(os.path.join(folder, self.name + ".tflite"), "wb") as f:
            f.write(content)
        return content

    def keep(self, *outputs, again=0):
        content = self.write(HERE, *outputs)
        shape = self.shape(self.input)
        x = rng.normal(size=shape).astype(np.float32) if self.given == np.float32 else whole_numbers(self.given, shape)
        net = runtime.Interpreter.from_bytes(content, arena_size=1 << 20)
        net.set_input(x, 0)
        net.invoke()
        tensors = {"x": x}
        for i in range(len(outputs)):
            tensors[f"y{i}"] = np.array(net.get_output(i))
            print(self.name, i, tensors[f"y{i}"].shape, len(np.unique(tensors[f"y{i}"])), "values")
        save(os.path.join(HERE, self.name + ".safetensors"), tensors, {})
        for i in range(1, again):
            net.set_input(x, 0)
            net.invoke()
            tensors[f"y{i}"] = np.array(net.get_output(0))
        if again:
            save(os.path.join(HERE, self.name + "-again.safetensors"), tensors, {})


def whole_numbers(dtype, shape):
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def extent(size, kernel, stride, padding, dilation):
    if padding == SAME:
        return [-(-d // stride) for d in size]
    return [(d - (k - 1) * dilation - 1) // stride + 1 for d, k in zip(size, kernel)]


def option(name, **fields):
    options = getattr(schema, name + "OptionsT")()
    for key, value in fields.items():
        setattr(options, key, value)
    return options


def classifier(name, dtype):
    """Convolutions of all kinds, a border that a convolution takes, a sum, pools, a flattened image, softmax."""
    net = Net(name, [1, 13, 11, 3], dtype)
    x = net.conv(net.input, 8, (3, 3), 2, act=ACT.RELU6)
    y = net.depthwise(x, 1, (3, 3))
    x = net.pair(OP.ADD, x, y, option("Add", fusedActivationFunction=ACT.RELU), 0.12, -20)
    scale, zero = net.scale(x)
    x = net.unary(OP.PAD, x, option("Pad"), scale, zero, [1, 9, 9, 8], [net.tensor([4, 2], np.array([[0, 0], [1, 1], [1, 2], [0, 0]], np.int32))])
    x = net.depthwise(x, 1, (3, 3), 2, VALID, ACT.RELU)
    x = net.depthwise(x, 2, (2, 3), 1, SAME)
    x = net.conv(x, 6, (1, 1), 1)
    x = net.pool(OP.MAX_POOL_2D, x, (2, 2), 1)
    shape = net.shape(x)
    x = net.unary(OP.RESHAPE, x, option("Reshape", newShape=[1, -1]), shape=[1, int(np.prod(shape))],
                  more=[net.words(1, int(np.prod(shape)))])
    x = net.linear(x, 20, ACT.RELU, many=True)
    x = net.linear(x, 7, scale=0.5)
    net.keep(net.unary(OP.SOFTMAX, x, option("Softmax", beta=0.1), 1 / 256, -128))


def elements(name, dtype):
    """Functions element by element, with constants that are broadcast."""
    net = Net(name, [1, 5, 4, 6], dtype)
    x = net.input
    image = net.conv(x, 6, (1, 1))
    outputs = [
        net.pair(OP.ADD, image, net.constant([6]), option("Add"), 0.11, 4),
        net.pair(OP.MUL, image, net.constant([1, 1, 1, 6]), option("Mul"), 0.1, -9),
        net.pair(OP.MUL, x, image, option("Mul", fusedActivationFunction=ACT.RELU6), 0.04, -90),
        net.pair(OP.ADD, x, net.constant([]), option("Add"), 0.09, 40),
        net.unary(OP.RELU, x, None, 0.03, -128),
        net.unary(OP.RELU6, x),
        net.unary(OP.LOGISTIC, x, None, 1 / 256, -128),
        net.unary(OP.TANH, image, None, 1 / 128, 0),
        net.unary(OP.LEAKY_RELU, x, option("LeakyRelu", alpha=0.2), 0.06, -30),
    ]
    if dtype == np.int16:
        outputs += [
            net.unary(OP.TANH, net.unary(OP.QUANTIZE, x, option("Quantize"), 2.0**-12 * 256), None, 1 / 128, 0),
            net.pair(OP.SUB, image, net.constant([6]), option("Sub"), 0.13, 4),
            net.pair(OP.SUB, net.constant([1, 5, 1, 6], 0.2), x, option("Sub", fusedActivationFunction=ACT.RELU_N1_TO_1), 0.02, 0),
        ]
    else:
        outputs.append(net.unary(OP.HARD_SWISH, x, option("HardSwish"), 0.04, -100))
    if dtype != np.float32:
        outputs.append(net.unary(OP.QUANTIZE, x, option("Quantize"), 0.07, 17))
    net.keep(*outputs)


def places(name, dtype):
    """Moves, means and sizes."""
    net = Net(name, [1, 6, 4, 5], dtype)
    x, image = net.input, net.conv(net.input, 5, (1, 1))
    scale, zero = net.scale(image)
    tail = {"scale": scale, "zero": zero}
    picked = net.unary(OP.STRIDED_SLICE, image, option("StridedSlice", beginMask=1, endMask=1 | 8, shrinkAxisMask=0),
                       shape=[1, 2, 2, 4], more=[net.words(0, 1, 1, 1), net.words(0, -1, 3, 0), net.words(1, 2, 1, 1)])
    one = net.unary(OP.STRIDED_SLICE, image, option("StridedSlice", beginMask=1, endMask=1, shrinkAxisMask=2),
                    shape=[1, 2, 5], more=[net.words(0, -2, 0, 0), net.words(0, 0, 4, 5), net.words(1, 1, 2, 1)])
    both = net.op(OP.CONCATENATION, [image, image], [net.tensor([1, 6, 8, 5], **tail)], option("Concatenation", axis=2))
    mixed = net.op(OP.CONCATENATION, [image, net.constant([1, 6, 4, 2], scale, zero)], [net.tensor([1, 6, 4, 7], **tail)],
                   option("Concatenation", axis=-1))
    rows = [net.tensor([1, 6, 5], **tail) for _ in range(4)]
    net.op(OP.UNPACK, [image], rows, option("Unpack", num=4, axis=2))
    packed = net.op(OP.PACK, rows[1:3], [net.tensor([1, 2, 6, 5], **tail)], option("Pack", valuesCount=2, axis=1))
    halves = [net.tensor([1, 3, 4, 5], **tail) for _ in range(2)]
    net.op(OP.SPLIT, [net.words(1), image], halves, option("Split", numSplits=2))
    outputs = [
        picked, one, both, mixed, packed, halves[1],
        net.unary(OP.TRANSPOSE, image, option("Transpose"), shape=[1, 4, 5, 6], more=[net.words(0, 2, 3, 1)]),
        net.unary(OP.MEAN, image, option("Reducer", keepDims=True), 0.04, 9, [1, 1, 1, 5], [net.words(1, 2)]),
        net.unary(OP.MEAN, image, option("Reducer", keepDims=False), 0.07, 0, [1, 4, 5], [net.words(1)]),
        net.unary(OP.MEAN, x, option("Reducer", keepDims=True), 0.03, -3, [1, 6, 4, 1], [net.words(3)]),
        net.unary(OP.RESIZE_NEAREST_NEIGHBOR, image, option("ResizeNearestNeighbor", halfPixelCenters=True),
                  shape=[1, 12, 12, 5], more=[net.words(12, 12)]),
        net.pool(OP.MAX_POOL_2D, image, (3, 3), 2, SAME),
        net.pool(OP.AVERAGE_POOL_2D, image, (6, 4), 2, VALID, ACT.RELU),
        net.pool(OP.AVERAGE_POOL_2D, x, (2, 2), 2),
        net.unary(OP.PAD, x, option("Pad"), shape=[1, 6, 7, 6],
                  more=[net.tensor([4, 2], np.array([[0, 0], [0, 0], [1, 2], [1, 0]], np.int32))]),
        net.unary(OP.SLICE, x, option("Slice"), shape=[1, 2, 4, 3], more=[net.words(0, 3, 0, 1), net.words(1, 2, -1, 3)]),
    ]
    net.keep(*outputs)


def rows(name, dtype):
    """A net without images: layers with one scale each, rows of several axes, a bias that is not there."""
    net = Net(name, [1, 24], dtype)
    x = net.linear(net.input, 16, ACT.RELU, scale=0.07, zero=-128)
    x = net.linear(x, 12, many=True, biased=False, scale=0.6)
    x = net.unary(OP.EXPAND_DIMS, x, option("ExpandDims"), shape=[1, 1, 12], more=[net.words(1)])
    x = net.unary(OP.SQUEEZE, x, option("Squeeze", squeezeDims=[1]), shape=[1, 12])
    net.keep(net.unary(OP.SOFTMAX, x, option("Softmax", beta=0.05), 1 / 256, -128))


def recurrent(name, dtype):
    """Two layers of long short-term memory, one with a clipped cell."""
    net = Net(name, [1, 6, 5], dtype)
    x, width = net.input, 5
    for cells, clip in ((7, 0.0), (4, 1.5)):
        h = (0.0078, 2)
        weights = [net.weights([cells, width], cells, 0, False) for _ in range(4)]
        more = [net.weights([cells, cells], cells, 0, False) for _ in range(4)]
        biases = [net.bias(cells, net.scale(x)[0], w) for w in weights]
        states = [net.tensor([1, cells], scale=h[0], zero=h[1], variable=True),
                  net.tensor([1, cells], scale=2.0 ** -11, dtype=np.int16, variable=True)]
        inputs = [x, *weights, *more, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
        x = net.op(OP.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, [net.tensor([1, 6, cells], scale=h[0], zero=h[1])],
                   option("UnidirectionalSequenceLSTM", fusedActivationFunction=ACT.TANH, cellClip=clip, projClip=0.0))
        width = cells
    net.keep(x)


def filters(name, dtype):
    """Two layers of filters over time, of rank 2 and 1; what the first output is in the runs behind the first one."""
    net = Net(name, [1, 7], dtype)
    x, wide = net.input, np.int16 if dtype == np.int8 else np.float32
    for units, rank, memory in ((6, 2, 3), (5, 1, 4)):
        count, width = units * rank, net.shape(x)[1]
        features = net.weights([count, width], count, 0, False)
        time = net.tensor([count, memory], (rng.integers(-32767, 32768, (count, memory)) if wide == np.int16 else
                                            rng.normal(size=(count, memory))).astype(wide), scale=2.0 ** -14)
        data = rng.integers(0, 40000000, units).astype(np.int32) if wide == np.int16 else rng.normal(size=units).astype(np.float32) + 1
        bias = net.tensor([units], data, scale=2.0 ** -26)
        state = net.tensor([1, count * memory], scale=2.0 ** -12, dtype=wide, variable=True)
        options = option("SVDF", rank=rank, fusedActivationFunction=ACT.RELU, asymmetricQuantizeInputs=False)
        x = net.op(OP.SVDF, [x, features, time, bias, state], [net.tensor([1, units], scale=0.5, zero=-3)], options, 4)
    net.keep(x, again=5)


def sizes(name, dtype):
    """Images of other sizes between their elements, and differences with constants that are broadcast."""
    net = Net(name, [1, 5, 7, 3], dtype)
    x, image = net.input, net.conv(net.input, 4, (1, 1))
    outputs = []
    for height, width, corners, half in ((10, 14, False, False), (8, 3, False, True), (9, 13, True, False), (1, 20, False, True), (1, 1, True, False)):
        outputs.append(net.unary(OP.RESIZE_BILINEAR, image, option("ResizeBilinear", alignCorners=corners, halfPixelCenters=half),
                                 *net.scale(image), [1, height, width, 4], [net.words(height, width)]))
    outputs += [
        net.pair(OP.SUB, image, net.constant([4]), option("Sub"), 0.13, 4),
        net.pair(OP.SUB, x, net.constant([1, 5, 7, 3]), option("Sub", fusedActivationFunction=ACT.RELU6), 0.03, -100),
        net.pair(OP.SUB, net.constant([], 0.2), image, option("Sub"), 0.21, -40),
    ]
    net.keep(*outputs)


def crossings(name):
    """Floats, bytes and 16 bits in one net; products of 16 bits whose biases are words, are of 64 bits, and are not there."""
    net = Net(name, [1, 9, 7, 3], np.int16, given=np.float32)
    whole = lambda x, dtype, scale, zero=0: net.op(  # noqa: E731
        OP.QUANTIZE, [x], [net.tensor(net.shape(x), scale=scale, zero=zero, dtype=dtype)], option("Quantize"))
    x = whole(net.input, np.int16, 2.0**-13)
    net.wide = False
    x = net.conv(x, 6, (3, 3), 2, act=ACT.RELU, scale=0.2)
    net.wide = True
    x = net.depthwise(x, 2, (2, 2), scale=0.3)
    x = whole(x, np.int8, 0.3, -11)
    x = whole(x, np.int16, 0.3 / 250)
    x = net.product(OP.CONV_2D, x, net.weights([5, 1, 1, 12], 5, 0), [*net.shape(x)[:3], 5],
                    option("Conv2D", padding=VALID, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1), 0.5, 0, False)
    x = net.unary(OP.RESHAPE, x, option("Reshape", newShape=[1, 100]), shape=[1, 100], more=[net.words(1, 100)])
    net.wide = False
    y = net.linear(x, 9, scale=0.9)
    net.wide = True
    x = net.pair(OP.ADD, y, net.linear(x, 9, ACT.RELU6, many=True, scale=0.8, biased=False), option("Add"), 1.4, 0)
    net.keep(net.op(OP.DEQUANTIZE, [x], [net.tensor([1, 9], dtype=np.float32)], option("Dequantize")))


if __name__ == "__main__":
    for kind, dtype in (("bytes", np.int8), ("floats", np.float32)):
        for make in (classifier, elements, places, rows):
            make(f"{make.__name__}-{kind}", dtype)
    recurrent("recurrent-bytes", np.int8)
    for kind, dtype in (("bytes", np.int8), ("floats", np.float32)):
        sizes(f"sizes-{kind}", dtype)
    for kind, dtype in (("bytes", np.int8), ("floats", np.float32)):
        filters(f"filters-{kind}", dtype)
    for make in (classifier, elements, places, rows):
        make(f"{make.__name__}-shorts", np.int16)
    crossings("crossings-shorts")
    recurrent("recurrent-shorts", np.int16)
