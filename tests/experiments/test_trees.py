"""Search trees as pictures."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from agents import losses
from agents.world.latent import Search, searched
from envs import keys
from experiments.reports.trees import draw, nodes
from experiments.studies.search_improvement import ATOMS, table


def test_a_tree_is_drawn_with_parents_above_what_they_led_to():
    logits, q = jnp.zeros((2, 3)), jnp.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
    find = searched(table(logits, q), Search(6), ATOMS, losses.IDENTITY_PAIR, 1.0)
    tree = jax.jit(lambda key: find((), key, jnp.arange(2), None, False).tree)(keys.key(0))
    found = nodes(tree, 1)
    assert found[0].parent == -1 and found[0].visits == 7 and len(found) <= 7
    assert sorted({node.action for node in found if node.depth == 1}) == [0, 1, 2]
    best = max((node for node in found if node.depth == 1), key=lambda node: node.visits)
    assert best.action == 0
    for place, node in enumerate(found[1:], 1):
        assert node.parent < place and found[node.parent].depth == node.depth - 1
    spots = {(node.across, node.depth) for node in found}
    assert len(spots) == len(found)
    below = [node.across for node in found if node.depth == 1]
    np.testing.assert_allclose(found[0].across, (below[0] + below[-1]) / 2)
    axes = Figure().subplots()
    draw(axes, tree, 1, ("left", "stay", "right"))
    assert len(axes.lines) == len(found) - 1
    assert {text.get_text() for text in axes.texts} == {"left", "stay", "right"}
