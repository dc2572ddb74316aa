"""Builds the two compiled parts: CMake makes `nssr.engine._vm`, Cython makes the candidate generator and the lowering.

Everything else stands in pyproject.toml. The wheel is built for the baseline CPU of the platform; the kernels for wider
vectors lie beside the baseline ones and are chosen when the module is loaded.
"""

import os
import subprocess
import sys
from pathlib import Path

import cmake
import ninja
import numpy
import pybind11
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent


class CMakeExtension(Extension):
    """An extension whose sources are known to CMake, not to setuptools."""

    def __init__(self, name: str) -> None:
        super().__init__(name, sources=[])


class BuildExtension(build_ext):
    """Hands CMake extensions to CMake and everything else to setuptools."""

    def build_extension(self, ext: Extension) -> None:
        if not isinstance(ext, CMakeExtension):
            super().build_extension(ext)
            return
        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        # Not in build_temp, which an editable install throws away: one changed file should cost one compilation, and the
        # static library lies there for tests of embedding.
        build = HERE / "build" / f"cmake-{sys.implementation.cache_tag}"
        build.mkdir(parents=True, exist_ok=True)
        cmake_binary = Path(cmake.CMAKE_BIN_DIR) / "cmake"
        arguments = [
            "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}",
            f"-DCMAKE_BUILD_TYPE={'Debug' if self.debug else 'Release'}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={output}",
        ]  # fmt: skip
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        subprocess.run([cmake_binary, "-S", HERE, "-B", build, *arguments], check=True)
        subprocess.run([cmake_binary, "--build", build, "--target", "_vm", "--parallel", jobs], check=True)


def cython_extension(name: str) -> Extension:
    return Extension(
        f"nssr.engine.{name}",
        [f"nssr/engine/{name}.pyx"],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-ffp-contract=off"],
    )


setup(
    ext_modules=[
        CMakeExtension("nssr.engine._vm"),
        *cythonize(
            [cython_extension(name) for name in ("candidates", "functions", "lowering", "compositions", "postfix")],
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
            },
        ),
    ],
    cmdclass={"build_ext": BuildExtension},
)
