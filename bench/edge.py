"""bench/edge.py BUILD [NET.tflite ..]: nets of bytes as tern emit writes them and by TensorFlow Lite Micro with CMSIS-NN's kernels, on the same
samples and the same Cortex-M7 in QEMU, whose instructions are counted (they are no cycles).  bench/setup-tflm builds the peer into
TERN_TFLM (build/tflm), whose checkouts have the default nets: person_detect, and those of MLPerf Tiny where mlcommons/tiny is beside
them (SOURCES).  Prints, a ratio above 1 saying that Tern is better:

    <net>-instructions  a sample, and how many samples have the same results
    <net>-ram           the arena, and Tern's input where that finds no room in it
    <net>-flash         the whole program
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
build = pathlib.Path(sys.argv[1]).resolve()
tflm = pathlib.Path(os.environ.get("TERN_TFLM", build / "tflm"))
sources = pathlib.Path(os.environ.get("SOURCES", tflm / "sources"))
library = tflm / "libtflm-cortex-m7.a"
TINY = {"kws": "keyword_spotting/trained_models/kws_ref_model.tflite", "vww": "visual_wake_words/trained_models/vww_96_int8.tflite",
        "resnet": "image_classification/trained_models/pretrainedResnet_quant.tflite", "ad": "anomaly_detection/trained_models/ad01_int8.tflite"}
REGISTER = {0: "AddAdd", 1: "AddAveragePool2D", 3: "AddConv2D", 4: "AddDepthwiseConv2D", 6: "AddDequantize", 9: "AddFullyConnected", 17: "AddMaxPool2D",
            22: "AddReshape", 25: "AddSoftmax", 114: "AddQuantize"}  # by the schema's number of the operator
ROOM = 262144  # of the peer's arena, of which it says how much it used


def operators(net):
    """The numbers of the operators that a file lists."""
    data = net.read_bytes()
    word = lambda at: struct.unpack_from("<i", data, at)[0]

    def field(table, index):
        """Where a table's field stands; None: it is not there."""
        layout = table - word(table)
        if 4 + 2 * index >= struct.unpack_from("<H", data, layout)[0]:
            return None
        offset = struct.unpack_from("<H", data, layout + 4 + 2 * index)[0]
        return table + offset if offset else None

    listed = field(word(0), 1)
    listed += word(listed)
    found = set()
    for i in range(word(listed)):
        code = listed + 4 + 4 * i
        code += word(code)
        old, new = field(code, 0), field(code, 3)
        found.add(max(struct.unpack_from("<b", data, old)[0] if old else 0, word(new) if new else 0))
    return sorted(found)


def ours(net, folder):
    subprocess.run([build / "tern", "emit", net, "--target", "cortex-m7", "--bytes-in", "-o", folder, "-q"], check=True, stdout=subprocess.DEVNULL)
    return json.loads(subprocess.run(["make", "-s", "-C", folder, "run"], check=True, capture_output=True, text=True).stdout)


def theirs(net, folder, samples):
    """The peer's program beside Tern's, with its start-up code, linker script and samples."""
    wanted = [REGISTER.get(number, f"operator {number}") for number in operators(net)]
    if any(" " in name for name in wanted):
        sys.exit(f"bench: {net}: {', '.join(n for n in wanted if ' ' in n)} of TFLite's schema is not in bench/edge.py's table")
    (folder / "model.s").write_text(f'.section .rodata\n.balign 16\n.global model_bytes\nmodel_bytes:\n.incbin "{net}"\n')
    register = " ".join(f"operators.{name}();" for name in wanted)
    flags = ["-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-d16", "--specs=nano.specs", "--specs=nosys.specs", "-O2", "-ffunction-sections", "-fdata-sections", "-nostartfiles",
             f"-DBENCH_RAM={2 * ROOM}", f"-DBENCH_FLASH={4 << 20}", "-DBENCH_STACK=8192"]
    include = [f"-I{sources / p}" for p in ("tflite-micro", "flatbuffers/include", "gemmlowp", "ruy")]
    cxx = ["-std=c++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics", "-DTF_LITE_STATIC_MEMORY", "-DNDEBUG", "-DTF_LITE_STRIP_ERROR_STRINGS",
           f"-DSAMPLES={samples}", f"-DARENA_ROOM={ROOM}", f"-DREGISTER={register}", f"-I{folder}", *include]
    limits = ["end=board_bss_end", "FLASH_AT=0", "RAM_AT=0x20000000", f"FLASH_BYTES={4 << 20}", f"RAM_BYTES={2 * ROOM}", "STACK_BYTES=8192", f"ARENA_BYTES={ROOM}"]
    subprocess.run(["arm-none-eabi-g++", *flags, *cxx, "-c", HERE / "tflm_main.cc", "-o", folder / "tflm_main.o"], check=True)
    subprocess.run(["arm-none-eabi-gcc", *flags, "-c", folder / "board.c", "-o", folder / "board.o"], check=True)
    subprocess.run(["arm-none-eabi-g++", *flags, folder / "tflm_main.o", folder / "board.o", folder / "model.s", "-T", folder / "link.ld", "-Wl,--gc-sections",
                    *(f"-Wl,--defsym={limit}" for limit in limits), library, "-lm", "-o", folder / "tflm.elf"], check=True)
    subprocess.run(["qemu-system-arm", "-M", "mps2-an500", "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0", "-semihosting-config",
                    "enable=on,target=native", "-kernel", "tflm.elf"], check=True, cwd=folder, stdin=subprocess.DEVNULL)
    return json.loads((folder / "tflm.json").read_text())


def compare(name, net):
    with tempfile.TemporaryDirectory() as at:
        folder = pathlib.Path(at)
        a = ours(net, folder)
        inside = "_IMAGE_ROOM" in (folder / f"{a['net']}.h").read_text()
        size = 0 if inside else (folder / "images.bin").stat().st_size // a["samples"]
        b = theirs(net, folder, a["samples"])
    for what, mine, other, unit in (
        ("instructions", a["instructions"], b["instructions"], f"instructions a sample, {b['equal']} of {b['samples']} with the same results"),
        ("ram", a["arena"] + a["state"] + size, b["arena"], "bytes, the input inside" if inside else f"bytes; of Tern's {size} are the input"), ("flash", a["flash"], b["flash"], f"bytes; of Tern's {a['weights']} are weights"),
    ):
        print(f"bench {name}-{what} ours={mine} peer={other} ratio={other / mine:.3f} ({unit}, n=1)", flush=True)


if not library.exists():
    sys.exit(f"bench: {library} is not there: bench/setup-tflm {tflm}")
nets = {pathlib.Path(f).stem: pathlib.Path(f).resolve() for f in sys.argv[2:]}
if not nets:
    nets = {"person_detect": sources / "tflite-micro/tensorflow/lite/micro/models/person_detect.tflite"}
    nets |= {name: sources / "tiny/benchmark/training" / path for name, path in TINY.items()}
for name, net in nets.items():
    if net.exists():
        compare(name, net)
    else:
        print(f"bench {name}: skipped, there is no {net}")
