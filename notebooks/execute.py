"""Executes the text notebooks beside this file and writes their .ipynb: `python notebooks/execute.py [NAME ...]`.

The Markdown is the source and the .ipynb is made from it, so a rerun changes nothing in a notebook but its outputs.
Warnings are errors.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# tensorflow_probability, imported by distrax for rlax, still names deprecated jax attributes. What the kernel's own
# modules warn of is not the notebook's.
STRICT = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel|IPython|jupyter|zmq|traitlets")
warnings.filterwarnings("ignore", "jax.core.* is deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", ".*is deprecated", DeprecationWarning, "tensorflow_probability.*")
"""


def names() -> list[str]:
    """The notebooks, by name; the README is none."""
    return sorted(path.stem for path in HERE.glob("*.md") if path.stem != "README")


def read(name: str) -> Any:
    """The text notebook, without outputs."""
    import jupytext

    notebook = jupytext.read(HERE / f"{name}.md")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "name": "python"},
    }
    for i, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{i:02}", {}  # the same at every run, so that diffs show what changed
    return notebook


def execute(name: str, timeout: int = 600) -> Any:
    """The notebook with its outputs.

    Args:
      name: one of `names()`.
      timeout: seconds that one cell may take.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell raised or warned.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = read(name)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    quiet = ["--log-level=ERROR"]  # of the kernel itself, which warns of its loopback sockets
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, extra_arguments=quiet
    )
    client.execute(cwd=str(HERE))
    del notebook.cells[0]
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = small(output.data["image/png"])
    return notebook


def small(png: str) -> str:
    """A base64 PNG with a palette of 256 colours, a third of the size: every version stays in the history."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    packed = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def main(chosen: list[str]) -> None:
    """Executes and writes the notebooks of these names, or all of them."""
    import nbformat

    for name in chosen or names():
        nbformat.write(execute(name), HERE / f"{name}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])
