"""How tests compile what they run for a few steps only."""

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
"""Compiler options under which XLA takes a third of the time; what is computed stays the same, up to rounding."""
