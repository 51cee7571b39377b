"""How tests that compute for long compile, where others compile with little effort (`conftest.QUICK`)."""

THOROUGH = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
}
"""XLA's defaults as an argument of `jax.jit`."""
