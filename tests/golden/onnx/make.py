#!/usr/bin/env python3
"""Tiny ONNX files, and what ONNX Runtime says of them: NAME.onnx, and NAME.safetensors with the input x and the outputs y0, y1, ..

Needs torch, onnx, onnxscript and onnxruntime.  The files are committed, so that tests need none of them.  Graphs made with onnx.helper have
each operator in the forms of operator sets 11, 13, 17 (18) and 21; nets are exported by PyTorch.
"""
import os
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from write import save  # noqa: E402

warnings.filterwarnings("ignore")
rng = np.random.default_rng(7)


def keep(name, model, x):
    """Runs a model and writes both files."""
    path = os.path.join(HERE, name + ".onnx")
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    results = session.run(names, {session.get_inputs()[0].name: x})
    tensors = {"x": x.astype(np.float32)}
    for i, y in enumerate(results):
        tensors[f"y{i}"] = np.ascontiguousarray(np.asarray(y).astype(np.float32))
    save(os.path.join(HERE, name + ".safetensors"), tensors, {})
    print(name, os.path.getsize(path), {n: t.shape for n, t in tensors.items()})


class Graph:
    """A graph under construction: each call adds a node and gives the name of its (first) output."""

    def __init__(self, name, opset, x, type_=TensorProto.FLOAT):
        self.name, self.opset, self.x = name, opset, x
        self.nodes, self.initialisers, self.outputs = [], [], []
        self.input = helper.make_tensor_value_info("x", type_, ["batch"] + list(x.shape[1:]))

    def constant(self, value, dtype=np.int64):
        name = f"c{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def reals(self, *shape):
        return self.constant(rng.normal(size=shape), np.float32)

    def __call__(self, op, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def out(self, *names):
        self.outputs += names

    def keep(self):
        outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in self.outputs]
        graph = helper.make_graph(self.nodes, self.name, [self.input], outputs, self.initialisers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 7 if self.opset < 15 else 8 if self.opset < 19 else 10
        keep(self.name, model, self.x)


def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)


def elements(opset):
    g = Graph(f"elements-{opset}", opset, normal(2, 3, 4))
    ops = ["Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Floor", "Ceil", "Round", "Erf", "Softplus", "Softsign",
           "Reciprocal", "Sign", "LeakyRelu", "Elu", "Selu", "HardSigmoid"]
    ops += ["HardSwish"] if opset >= 14 else []
    ops += ["Mish"] if opset >= 18 else []
    ops += ["Gelu"] if opset >= 20 else []
    g.out(*[g(op, "x") for op in ops])
    positive = g("Abs", "x")
    g.out(g("Log", positive), g("Sqrt", positive), g("Pow", positive, g.constant(1.7, np.float32)),
          g("Pow", "x", g.constant(2, np.float32)))
    if opset >= 20:
        g.out(g("Gelu", "x", approximate="tanh"))
    g.out(g("HardSigmoid", "x", alpha=1 / 6, beta=0.5), g("LeakyRelu", "x", alpha=0.3))
    g.out(g("Clip", "x", g.constant(-0.5, np.float32), g.constant(0.7, np.float32)), g("Clip", "x", g.constant(0, np.float32)),
          g("Clip", "x", "", g.constant(0.1, np.float32)), g("PRelu", "x", g.reals(3, 1)))
    row = g.reals(4)
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
        g.out(g(op, "x", row))
    for op in ["Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"]:
        if "OrEqual" in op and opset < 12:
            continue
        g.out(g("Cast", g(op, g("Round", "x"), g("Round", row)), to=TensorProto.FLOAT))
    above = g("Greater", "x", row)
    g.out(g("Where", above, "x", row), g("Cast", g("Not", above), to=TensorProto.FLOAT))
    g.out(g("Cast", g("Cast", "x", to=TensorProto.INT64), to=TensorProto.FLOAT), g("Sum", "x", row, "x"), g("Mean", "x", row, "x"))
    g.keep()


def places(opset):
    """Shapes are computed from the input's, as exporters write them."""
    g = Graph(f"places-{opset}", opset, normal(2, 6, 4))
    listed = opset >= 13  # axes and lengths became inputs
    shape = g("Shape", "x")
    batch = g("Gather", shape, g.constant(0), axis=0)
    axes = g.constant([0])
    one = g("Unsqueeze", batch, axes) if listed else g("Unsqueeze", batch, axes=[0])
    rest = g("Div", g("Mul", g("Slice", shape, g.constant([1]), g.constant([2])), g.constant([2])), g.constant([4]))
    wanted = g("Concat", one, rest, g.constant([-1]), axis=0)
    g.out(g("Reshape", "x", wanted), g("Reshape", "x", g.constant([0, -1])), g("Flatten", "x"), g("Flatten", "x", axis=0))
    wide = g("Unsqueeze", "x", g.constant([1, -1])) if listed else g("Unsqueeze", "x", axes=[1, 4])
    g.out(wide, g("Squeeze", wide, g.constant([1])) if listed else g("Squeeze", wide, axes=[1]))
    g.out(g("Transpose", "x", perm=[0, 2, 1]), g("Transpose", "x"), g("Concat", "x", "x", axis=-1))
    parts = g("Split", "x", g.constant([1, 2, 3]), outputs=3, axis=1) if listed else g("Split", "x", outputs=3, axis=1, split=[1, 2, 3])
    g.out(*parts)
    g.out(*(g("Split", "x", outputs=2, axis=2, num_outputs=2) if opset >= 18 else g("Split", "x", outputs=2, axis=2)))
    g.out(g("Slice", "x", g.constant([1, -3]), g.constant([100, -1]), g.constant([1, 2])),
          g("Slice", "x", g.constant([-1]), g.constant([-100]), g.constant([1]), g.constant([-2])))
    g.out(g("Gather", "x", g.constant(-1), axis=1), g("Gather", "x", g.constant([[2, 0], [3, 3]]), axis=2))
    g.out(g("Expand", g.reals(4), g("Concat", g.constant([3]), g.constant([1]), axis=0)), g("Tile", "x", g.constant([1, 2, 3])))
    zeros = g("ConstantOfShape", g("Shape", "x"), value=numpy_helper.from_array(np.array([0.5], np.float32)))
    g.out(g("Add", "x", zeros), g("Identity", "x"), g("Dropout", "x"))
    steps = g("Cast", g("Range", g.constant(0), g("Gather", shape, g.constant(2)), g.constant(1)), to=TensorProto.FLOAT)
    g.out(g("Mul", "x", steps), g("Mul", "x", g("Cast", g("Mod", g.constant([7, -7, 8, 9]), g.constant([4])), to=TensorProto.FLOAT)))
    count = g("Cast", g("Size", "x"), to=TensorProto.FLOAT)
    g.out(g("Div", "x", count))
    if opset >= 14:
        g.out(g("Trilu", "x"), g("Trilu", "x", g.constant(-1), upper=0))
    if opset >= 15:
        g.out(g("Reshape", "x", g("Concat", g.constant([-1]), g("Shape", "x", start=2), axis=0)))
    pads = [0, 1, 2, 0, 3, 0]
    g.out(g("Pad", "x", g.constant(pads)), g("Pad", "x", g.constant(pads), g.constant(2.5, np.float32)), g("Pad", "x", g.constant([0, -1, 0, 0, 1, -2])))
    if opset >= 18:
        g.out(g("Pad", "x", g.constant([1, 2]), "", g.constant([-1])))
    g.keep()


def sums(opset):
    g = Graph(f"sums-{opset}", opset, normal(2, 3, 4, 5))
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"]:
        listed = opset >= 18 or (op == "ReduceSum" and opset >= 13)
        for axes, keepdims in [([1, 3], 1), ([-1], 0), ([2, 3], 0)]:
            g.out(g(op, "x", g.constant(axes), keepdims=keepdims) if listed else g(op, "x", axes=axes, keepdims=keepdims))
        g.out(g("Add", "x", g(op, "x", keepdims=0)))
    for op in ["ArgMax", "ArgMin"]:
        g.out(g("Cast", g(op, "x", axis=1, keepdims=0), to=TensorProto.FLOAT), g("Cast", g(op, "x", axis=-1), to=TensorProto.FLOAT))
    for op in ["Softmax", "LogSoftmax"]:
        g.out(g(op, "x"), g(op, "x", axis=2), g(op, "x", axis=1))
    g.out(g("MatMul", "x", g.reals(5, 6)), g("MatMul", "x", g.reals(3, 5, 2)), g("MatMul", "x", g.reals(5)), g("MatMul", g.reals(4), "x"),
          g("MatMul", "x", g("Transpose", "x", perm=[0, 1, 3, 2])))
    flat = g("Flatten", "x", axis=2)
    g.out(g("Gemm", flat, g.reals(20, 3), g.reals(3)), g("Gemm", flat, g.reals(3, 20), g.reals(3), transB=1),
          g("Gemm", g.reals(6, 2), flat, transA=1, alpha=0.5), g("Gemm", flat, g.reals(20, 2), g.reals(6, 1), beta=2.0))
    g.out(g("InstanceNormalization", "x", g.reals(3), g.reals(3)))
    if opset >= 17:
        g.out(g("LayerNormalization", "x", g.reals(5), g.reals(5)), g("LayerNormalization", "x", g.reals(4, 5), axis=2, epsilon=1e-3))
    if opset >= 21:
        g.out(g("GroupNormalization", g("Concat", "x", "x", axis=1), g.reals(6), g.reals(6), num_groups=3))
    g.keep()


def images(opset):
    g = Graph(f"images-{opset}", opset, normal(2, 4, 9, 8))
    g.out(g("Conv", "x", g.reals(6, 4, 3, 3), g.reals(6), pads=[1, 1, 1, 1], strides=[2, 2]),
          g("Conv", "x", g.reals(4, 2, 3, 2), group=2), g("Conv", "x", g.reals(4, 1, 3, 3), group=4, pads=[0, 1, 2, 1], kernel_shape=[3, 3]),
          g("Conv", "x", g.reals(2, 4, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]), g("Conv", "x", g.reals(2, 4, 2, 2), auto_pad="SAME_LOWER"),
          g("Conv", "x", g.reals(2, 4, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2]))
    g.out(g("ConvTranspose", "x", g.reals(4, 3, 2, 2), g.reals(3), strides=[2, 2]),
          g("ConvTranspose", "x", g.reals(4, 2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1], group=2))
    for op, more in [("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1})]:
        g.out(g(op, "x", kernel_shape=[2, 2], strides=[2, 2], **more), g(op, "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], **more),
              g(op, "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, **more), g(op, "x", kernel_shape=[3, 3], pads=[0, 1, 2, 1], **more),
              g(op, "x", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER", **more))
    g.out(g("GlobalAveragePool", "x"), g("GlobalMaxPool", "x"))
    g.out(g("BatchNormalization", "x", g.reals(4), g.reals(4), g.reals(4), g.constant(rng.uniform(0.5, 2, 4), np.float32)))
    g.out(g("DepthToSpace", "x", blocksize=2), g("DepthToSpace", "x", blocksize=2, mode="CRD"),
          g("SpaceToDepth", g("Pad", "x", g.constant([0, 0, 0, 0, 0, 0, 1, 0])), blocksize=2))
    g.keep()


def sizes(opset):
    g = Graph(f"sizes-{opset}", opset, normal(1, 2, 4, 3))
    for scales, sizes in (([1, 1, 2, 2], None), ([1, 1, 0.6, 1.7], None), (None, [1, 2, 6, 2])):
        none = "" if opset >= 13 else g.constant([], np.float32)
        how = [none, g.constant(scales, np.float32)] if scales else [none, none, g.constant(sizes)]
        for place in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"):
            g.out(g("Resize", "x", *how, mode="linear", coordinate_transformation_mode=place))
            for rounding in ("round_prefer_floor", "floor") if place != "align_corners" else ("round_prefer_ceil", "ceil"):
                g.out(g("Resize", "x", *how, mode="nearest", coordinate_transformation_mode=place, nearest_mode=rounding))
        g.out(g("Resize", "x", *how, mode="cubic"), g("Resize", "x", *how, mode="cubic", cubic_coeff_a=-0.5, coordinate_transformation_mode="align_corners"))
    if opset >= 18:
        g.out(g("Resize", "x", "", g.constant([3, 2], np.float32), axes=[2, 3]))
    g.keep()


def sequences(opset):
    g = Graph(f"sequences-{opset}", opset, normal(2, 4, 20))
    line = "x"
    g.out(g("Resize", line, "" if opset >= 13 else g.constant([], np.float32), g.constant([1, 1, 1.5], np.float32), mode="linear"))
    g.out(g("Conv", line, g.reals(3, 4, 5), g.reals(3), pads=[2, 2], strides=[3]), g("MaxPool", line, kernel_shape=[3], strides=[2], pads=[1, 1]),
          g("AveragePool", line, kernel_shape=[4], strides=[4]), g("GlobalAveragePool", line), g("ConvTranspose", line, g.reals(4, 2, 3), strides=[2]))
    g.keep()


def exported(name, module, x, opset, external=False, **more):
    path = os.path.join(HERE, name + ".onnx")
    torch.onnx.export(module.eval(), (x,), path, opset_version=opset, **more)
    keep(name, onnx.load(path), x.numpy())
    if os.path.exists(path + ".data"):
        os.remove(path + ".data")
    if external:
        if os.path.exists(os.path.join(HERE, name + ".data")):
            os.remove(os.path.join(HERE, name + ".data"))
        onnx.save_model(onnx.load(path), path, save_as_external_data=True, location=name + ".data", size_threshold=0)


class Residual(nn.Module):
    """Convolution, batch norm that stays a node, a branch, a pool with a border."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU6(), nn.MaxPool2d(3, 2, 1))
        self.branch = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, groups=4))
        self.last = nn.Linear(4, 5)
        for norm in (self.first[1], self.branch[1]):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.first(x)
        x = x + self.branch(x)
        return self.last(x.mean((2, 3)))


class Attention(nn.Module):
    """Patches, a class token, one block of a vision transformer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.block(x)[:, 0])


def bad():
    """Files that must be refused: what is wrong is their name."""
    def write(name, nodes, opset=17, initialisers=(), outputs=((2, 3),), inputs=("x",), shape=(2, 3)):
        ins = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in inputs]
        outs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, s) for i, s in enumerate(outputs)]
        model = helper.make_model(helper.make_graph(nodes, name, ins, outs, initialisers), opset_imports=[helper.make_opsetid("", opset)])
        onnx.save(model, os.path.join(HERE, f"bad-{name}.onnx"))

    node = helper.make_node
    weight = numpy_helper.from_array(normal(4, 3), "w")
    write("operator", [node("LSTM", ["x"], ["a"], name="lstm"), node("Foo", ["a"], ["y0"], domain="my.own", name="foo")])
    write("output-shape", [node("Gemm", ["x", "w"], ["y0"], transB=1)], initialisers=[weight])
    write("weight-shape", [node("MatMul", ["x", "w"], ["y0"])], initialisers=[weight])
    write("opset", [node("Relu", ["x"], ["y0"])], opset=10)
    write("inputs", [node("Add", ["x", "z"], ["y0"])], inputs=("x", "z"))
    write("data-shape", [node("Cast", ["x"], ["s"], to=TensorProto.INT64), node("Reshape", ["x", "s"], ["y0"])])
    write("order", [node("Relu", ["a"], ["y0"]), node("Relu", ["x"], ["a"])])
    write("twice", [node("Relu", ["x"], ["a"]), node("Tanh", ["x"], ["a"]), node("Relu", ["a"], ["y0"])])
    big = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=b"0123")
    write("count", [node("MatMul", ["x", "w"], ["y0"])], initialisers=[big], shape=(2, 1 << 20), outputs=((2, 1 << 20),))
    endless = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 1 << 40], raw_data=b"0123")
    write("dims", [node("MatMul", ["x", "w"], ["y0"])], initialisers=[endless])
    shape = numpy_helper.from_array(np.array([1 << 40, 1 << 40]), "s")
    write("expand", [node("Expand", ["x", "s"], ["y0"])], initialisers=[shape])
    for name, location in (("external", "not-there.data"), ("outside", "../../../secret.data")):
        t = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
        t.external_data.add(key="location", value=location)
        write(name, [node("MatMul", ["x", "w"], ["y0"])], initialisers=[t])
    t = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[30, 30], data_location=TensorProto.EXTERNAL)
    t.external_data.add(key="location", value="attention-21.data")
    t.external_data.add(key="offset", value="4096")
    t.external_data.add(key="length", value="3600")
    write("short", [node("Gemm", ["x", "w"], ["y0"])], initialisers=[t], shape=(2, 30), outputs=((2, 30),))


def main():
    torch.manual_seed(1)
    for opset in (11, 13, 17, 21):
        elements(opset)
        places(opset)
        sums(opset)
        images(opset)
        sizes(opset)
        sequences(opset)
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3), nn.Softmax(-1))
    exported("mlp-11", mlp, torch.randn(3, 3, 4), 11, dynamo=False, input_names=["pixels"], dynamic_axes={"pixels": {0: "n"}})
    exported("classes-13", nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), torch.randn(2, 1, 8, 8), 13, dynamo=False, dynamic_axes={"input": {0: "n"}}, input_names=["input"])
    exported("residual-13", Residual(), torch.randn(2, 3, 12, 12), 13, dynamo=False)
    exported("residual-18", Residual(), torch.randn(2, 3, 12, 12), 18, dynamo=True)
    exported("attention-17", Attention(), torch.randn(2, 3, 8, 8), 17, dynamo=False)
    exported("attention-21", Attention(), torch.randn(2, 3, 8, 8), 21, dynamo=True, external=True)
    bad()


if __name__ == "__main__":
    main()
