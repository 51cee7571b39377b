"""Copying; what NTM and DNC reach is the claim docs/results/claims/rl_mem_copy.toml."""

import numpy as np
import pytest

from experiments.studies import copying


def test_bits_are_guessed_before_training() -> None:
    wrong = copying.wrong_bits((0, 1), memory="lstm", words=4, updates=0)
    assert wrong.shape == (2,)
    np.testing.assert_allclose(wrong, 0.5, atol=0.1)


def test_networks_have_the_memory_that_is_asked_for() -> None:
    assert copying.copier("lstm", 0).access is None
    ntm, no_shift, dnc = (copying.copier(name, 24).access for name in ("ntm", "ntm_without_shift", "dnc"))
    assert len({repr(access) for access in (ntm, no_shift, dnc)}) == 3
    with pytest.raises(KeyError):
        copying.copier("rows", 24)
