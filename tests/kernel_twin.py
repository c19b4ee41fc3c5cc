"""Run a CUDA kernel on the CPU: the same source string, compiled by g++ behind a small shim.

``kernel_twin.xp`` stands in for the few names a kernel's host code uses (``RawKernel``, ``empty``), so that the
function under test builds its arguments and its grid as on a GPU.  It is stricter than a GPU: an argument's dtype
must be exactly the C type of its parameter, and a kernel that writes outside an array it was given raises.

It runs one thread after the other: right for kernels without shared memory, ``__syncthreads`` and warp functions;
blind to races.  ``compile_for`` compiles with NVIDIA's own compiler, which needs neither a GPU nor a driver:
``pip install nvidia-cuda-nvrtc`` (86 MB), then the tests that use it run for sm_80 and sm_90 too.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SHIM = r"""
#include <math.h>
#include <stddef.h>
#define __global__
#define __device__
#define __restrict__
#define __forceinline__ inline
struct dim3 { unsigned x, y, z; };
static dim3 blockIdx, threadIdx, blockDim, gridDim;
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
template <class T> static inline T atomicAdd(T* address, T value) { T old = *address; *address += value; return old; }
"""
LAUNCH = r"""
extern "C" void launch(const unsigned* grid, const unsigned* block, void** a) {{
    gridDim = {{grid[0], grid[1], grid[2]}};
    blockDim = {{block[0], block[1], block[2]}};
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
    for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
        {name}({arguments});
}}
"""
C_TYPES = {
    "float": np.float32, "double": np.float64, "int": np.int32, "unsigned": np.uint32, "unsigned int": np.uint32,
    "long long": np.int64, "unsigned long long": np.uint64,
}  # fmt: skip
GUARD = 64  # bytes on each side of an array of ``empty`` that no kernel may touch
FILL = 0xA5


def empty(shape: Any, dtype: Any = float) -> np.ndarray:
    """An array between guard bytes; its values are a fixed rubbish, so that a forgotten write shows."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    guarded = np.full(size + 2 * GUARD, FILL, dtype=np.uint8)
    return guarded[GUARD : GUARD + size].view(dtype).reshape(shape)


def _check_guards(array: np.ndarray) -> None:
    owner: Any = array
    while owner.base is not None:
        owner = owner.base
    if owner.dtype == np.uint8 and owner.size == array.nbytes + 2 * GUARD:
        touched = np.flatnonzero(np.concatenate([owner[:GUARD], owner[-GUARD:]]) != FILL)
        if touched.size:
            raise IndexError(f"the kernel wrote {touched.size} byte(s) outside an array of shape {array.shape}")


class RawKernel:
    """A kernel as the device library's class of that name: ``kernel(grid, block, arguments)``."""

    def __init__(self, source: str, name: str) -> None:
        self.name = name
        aliases = {alias: kind for kind, alias in re.findall(r"typedef\s+([\w ]+?)\s+(\w+)\s*;", source)}
        self.types = _parameters(source, name)
        self.dtypes = [np.dtype(C_TYPES[aliases.get(kind, kind)]) for kind, _ in self.types]
        cast = [f"({kind}*)a[{i}]" if star else f"*({kind}*)a[{i}]" for i, (kind, star) in enumerate(self.types)]
        program = SHIM + source + LAUNCH.format(name=name, arguments=", ".join(cast))
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "kernel.so"
            command = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-x", "c++", "-"]
            done = subprocess.run([*command, "-o", library], input=program, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SyntaxError(f"g++ refuses kernel {name}:\n{done.stderr}")
            self._launch = ctypes.CDLL(str(library)).launch

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        if len(arguments) != len(self.types):
            raise TypeError(f"{self.name} takes {len(self.types)} arguments, got {len(arguments)}")
        if min(*grid, *block) < 1 or np.prod(block) > 1024 or grid[0] >= 1 << 31 or max(0, 0, *grid[1:]) >= 1 << 16:
            raise ValueError(f"{self.name}: CUDA refuses grid {grid} with block {block}")
        held = []
        for position, argument in enumerate(arguments):
            (kind, star), dtype = self.types[position], self.dtypes[position]
            if not isinstance(argument, np.ndarray if star else np.generic) or argument.dtype != dtype:
                raise TypeError(f"{self.name}: argument {position} is {kind}{star}, got {argument!r}")
            held.append(argument if star else np.array(argument))
        triples = [(ctypes.c_uint * 3)(*size, *[1] * (3 - len(size))) for size in (grid, block)]
        self._launch(*triples, (ctypes.c_void_p * len(held))(*[array.ctypes.data for array in held]))
        for array in held:
            _check_guards(array)


def _parameters(source: str, name: str) -> list[tuple[str, str]]:
    """The C type of each parameter, and ``"*"`` if it is a pointer."""
    found = re.search(rf"__global__\s+void\s+{name}\s*\(([^)]*)\)", source)
    if found is None:
        raise SyntaxError(f"no '__global__ void {name}(...)' in the source")
    plain = re.sub(r"\b(const|__restrict__)\b", "", found[1]).split(",")
    split = [re.fullmatch(r"\s*([\w ]+?)\s*(\*?)\s*\w+\s*", parameter) for parameter in plain]
    return [(one[1], one[2]) for one in split if one is not None]


class xp:  # noqa: N801 (it plays a module)
    """The device library's names that the host side of a kernel uses."""

    RawKernel = RawKernel
    empty = staticmethod(empty)


def nvrtc_path() -> str | None:
    """Where the NVRTC library of the ``nvidia-cuda-nvrtc`` package is installed, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec is not None and spec.submodule_search_locations else []
    return next((path for folder in folders for path in glob.glob(f"{folder}/*/lib/libnvrtc.so*")), None)


def compile_for(source: str, architecture: str) -> int:
    """Compile with NVRTC for an architecture such as ``"sm_90"``; the size of the machine code in bytes."""
    nvrtc = ctypes.CDLL(nvrtc_path())
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    option = (ctypes.c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    if nvrtc.nvrtcCompileProgram(program, 1, option):
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise SyntaxError(f"NVRTC refuses the kernel:\n{log.value.decode()}")
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    return size.value
