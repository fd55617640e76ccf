"""Tern from Python: load a trained net, run it on numpy arrays without copies, read its cost.

    import tern
    net = tern.load("run/first", batch=64)
    logits = net(images)              # float32 [64, 1, 28, 28] -> [64, 10]
    net.cost("stm32f746")             # {'fits': False, 'seconds': ..., 'joules': ...}

The library is looked for in $TERN_LIBRARY, then in build/libtern.so beside this file, then where the system looks.
"""
import ctypes
import json
import os

import numpy as np

__all__ = ["load", "Net", "TernError"]


class TernError(RuntimeError):
    """What tern_message() says."""


class _Shape(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int), ("dim", ctypes.c_int64 * 6)]


class _NamedNumber(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_double)]


class _Cost(ctypes.Structure):
    _fields_ = [("fits", ctypes.c_bool), ("seconds", ctypes.c_double), ("joules", ctypes.c_double),
                ("peak_bytes", ctypes.c_double), ("paper_joules", ctypes.c_double)]


def _library():
    here = os.path.dirname(os.path.abspath(__file__))
    candidates = [os.environ.get("TERN_LIBRARY"), os.path.join(here, "..", "..", "build", "libtern.so"), "libtern.so"]
    for path in filter(None, candidates):
        if os.sep not in path or os.path.exists(path):
            library = ctypes.CDLL(path)
            library.tern_message.restype = ctypes.c_char_p
            return library
    raise TernError("libtern.so was not found; build it or set TERN_LIBRARY")


_tern = _library()


def _check(status):
    if status:
        raise TernError(_tern.tern_message().decode())


class Net:
    """A planned net. Call it with float32 images [batch, ...] that are normalised as in training (see `normalise`)."""

    def __init__(self, net, options=None, checkpoint=None, sample=(1, 28, 28), batch=1, threads=0, mean=(0.0,), std=(1.0,)):
        self.batch, self.sample, self._handle = batch, tuple(sample), ctypes.c_void_p()
        self._mean, self._std = mean, std
        options = options or {}
        numbers = (_NamedNumber * max(1, len(options)))(*[_NamedNumber(k.encode(), float(v)) for k, v in options.items()])
        shape = _Shape(len(self.sample), (ctypes.c_int64 * 6)(*self.sample))
        path = os.fsencode(checkpoint) if checkpoint else None
        _check(_tern.tern_trained_open(ctypes.byref(self._handle), net.encode(), numbers, len(options), path, shape, batch, threads))

    def close(self):
        if self._handle:
            _tern.tern_trained_close(self._handle)
            self._handle = ctypes.c_void_p()

    __del__ = close

    def normalise(self, pixels):
        """u8 pixels [batch, C, ...] as the net saw them in training."""
        channels = pixels.shape[1]
        around = (1, channels) + (1,) * (pixels.ndim - 2)
        mean = np.asarray(self._mean[:channels], np.float32).reshape(around)
        std = np.asarray([s or 1 for s in self._std[:channels]], np.float32).reshape(around)
        return (pixels.astype(np.float32) / 255 - mean) / std

    def __call__(self, images):
        if images.dtype != np.float32 or images.shape != (self.batch, *self.sample) or not images.flags.c_contiguous:
            raise TernError(f"expected contiguous float32 {(self.batch, *self.sample)}, found {images.dtype} {images.shape}")
        logits, classes = ctypes.POINTER(ctypes.c_float)(), ctypes.c_int()
        _check(_tern.tern_trained_run(self._handle, images.ctypes.data_as(ctypes.c_void_p), ctypes.byref(logits),
                                      ctypes.byref(classes)))
        view = np.ctypeslib.as_array(logits, (self.batch, classes.value))
        view.flags.writeable = False  # the net's own memory: valid until the next call
        return view

    def cost(self, machine, density=0.1):
        cost = _Cost()
        _check(_tern.tern_trained_cost(self._handle, machine.encode(), ctypes.c_double(density), ctypes.byref(cost)))
        return {name: getattr(cost, name) for name, _ in _Cost._fields_}


def load(folder, batch=1, threads=0):
    """The net of a run folder of `tern train`."""
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    return Net(config["net"], config["parameters"], os.path.join(folder, "model.safetensors"), config["sample"], batch, threads,
               config.get("mean", [0.0]), config.get("std", [1.0]))
