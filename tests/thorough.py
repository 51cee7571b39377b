"""How tests compile: with little effort, but for those that compute for long."""

import os

QUICK = "".join(
    f" --xla_{flag}"
    for flag in ("backend_optimization_level=0", "llvm_disable_expensive_passes=true", "cpu_use_fusion_emitters=false")
)
"""Flags with which XLA compiles in a third of the time; what is computed stays the same, up to rounding."""

THOROUGH = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
}
"""XLA's defaults, as an argument of `jax.jit`."""


def plain_flags() -> str:
    """`XLA_FLAGS` without `QUICK`, for processes that compute for long."""
    return os.environ["XLA_FLAGS"].replace(QUICK, "")
