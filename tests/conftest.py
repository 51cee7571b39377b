"""Every test runs with rank promotion forbidden, four host devices and a compilation cache shared by all processes."""

import os
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
# XLA's pool has a thread per core; with as many devices as that, an operation that wants helpers can wait for ever.
os.environ.setdefault("NPROC", "8")
# Inherited by the commands that tests start, so that equal programs compile once per test run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="bellmax-jax-"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
