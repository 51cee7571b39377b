"""MuJoCo models drawn from above in numpy, so that they can be filmed where there is no OpenGL."""

from typing import Any

import numpy as np

from envs import drawing

COLOURS = {
    "wall": drawing.GREY,
    "floor": (235, 235, 235),
    "block": drawing.BLUE,
    "goal": drawing.GREEN,
    "bomb": drawing.RED,
    "body": drawing.ORANGE,
}
PIXELS = 12  # per metre


def view(model: Any, data: Any, boxes: list[tuple[str, np.ndarray, np.ndarray]], marks: Any) -> np.ndarray:
    """An RGB frame, uint8 [H, W, 3].

    Args:
      model: compiled.
      data: with positions of all geoms up to date.
      boxes: kind, centre and half size of what stands on the ground.
      marks: places `[2]` and their kinds, drawn as discs of 0.5 m.
    """
    import mujoco

    low = np.min([centre[:2] - half[:2] for _, centre, half in boxes], axis=0)
    high = np.max([centre[:2] + half[:2] for _, centre, half in boxes], axis=0)
    width, height = (int(n) // 2 * 2 for n in (high - low) * PIXELS)  # even, for films
    x = low[0] + (np.arange(width)[None] + 0.5) / PIXELS
    y = high[1] - (np.arange(height)[:, None] + 0.5) / PIXELS
    frame = np.full((height, width, 3), 255, np.uint8)

    def segment(start: np.ndarray, end: np.ndarray, radius: float, kind: str) -> None:
        way = end[:2] - start[:2]
        along = ((x - start[0]) * way[0] + (y - start[1]) * way[1]) / max(way @ way, 1e-12)
        along = np.clip(along, 0, 1)
        inside = (x - start[0] - along * way[0]) ** 2 + (y - start[1] - along * way[1]) ** 2 <= radius**2
        frame[inside] = COLOURS[kind]

    for kind, centre, half in sorted(boxes, key=lambda box: ("floor", "wall", "block").index(box[0])):
        at = data.body("block").xpos if kind == "block" else centre
        frame[(np.abs(x - at[0]) <= half[0]) & (np.abs(y - at[1]) <= half[1])] = COLOURS[kind]
    for place, kind in marks:
        segment(place, place, 0.5, kind)
    for geom in range(model.ngeom):
        kind, at = model.geom_type[geom], data.geom_xpos[geom]
        if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            segment(at, at, model.geom_size[geom, 0], "body")
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            axis = data.geom_xmat[geom].reshape(3, 3)[:, 2] * model.geom_size[geom, 1]
            segment(at - axis, at + axis, model.geom_size[geom, 0], "body")
    return frame
