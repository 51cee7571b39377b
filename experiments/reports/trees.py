"""What a search found, as a picture: the tree of `agents.world.latent.searched`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from agents.base import Tree


class Node(NamedTuple):
    """A node of a search tree, the root first and every other after its parent."""

    parent: int
    """Its place in the list; -1 of the root."""
    action: int
    """What leads to it; -1 to the root."""
    depth: int
    visits: int
    value: float
    across: float
    """Where it is drawn: leaves one beside the other, others in the middle of what is below them."""


def nodes(tree: "Tree", lane: int = 0) -> list[Node]:
    """The nodes of a lane's tree that the search visited.

    Args:
      tree: `Found.tree`, mctx's, of B lanes.
      lane: which.
    """
    visits, values = np.asarray(tree.node_visits[lane]), np.asarray(tree.node_values[lane])
    below = np.asarray(tree.children_index[lane])
    found: list[Node] = []
    leaves = 0

    def grow(index: int, parent: int, action: int, depth: int) -> float:
        nonlocal leaves
        place = len(found)
        found.append(Node(parent, action, depth, int(visits[index]), float(values[index]), 0.0))
        children = [(a, int(i)) for a, i in enumerate(below[index]) if i >= 0]
        under = [grow(child, place, a, depth + 1) for a, child in children]
        leaves += not under
        across = (under[0] + under[-1]) / 2 if under else float(leaves - 1)
        found[place] = found[place]._replace(across=across)
        return across

    grow(0, -1, -1, 0)
    return found


def draw(axes: "Axes", tree: "Tree", lane: int = 0, actions: Sequence[str] = ()) -> None:
    """Draws a lane's tree: nodes as large as they were visited often and coloured by value, actions on the edges.

    Args:
      axes: of matplotlib.
      tree: `Found.tree`.
      lane: which.
      actions: what to call them; their numbers by default.
    """
    found = nodes(tree, lane)
    for node in found[1:]:
        above = found[node.parent]
        axes.plot([above.across, node.across], [-above.depth, -node.depth], color="0.8", zorder=1)
        name = actions[node.action] if actions else str(node.action)
        middle = (above.across + node.across) / 2, -(above.depth + node.depth) / 2
        axes.annotate(name, middle, ha="center", va="center", fontsize=7, color="0.4")
    drawn = axes.scatter(
        [node.across for node in found], [-node.depth for node in found],
        s=[40 + 30 * node.visits for node in found], c=[node.value for node in found], cmap="viridis", zorder=2,
    )  # fmt: skip
    axes.figure.colorbar(drawn, ax=axes, label="value")
    axes.set_axis_off()
