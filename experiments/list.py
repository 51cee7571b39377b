"""What there is: `python -m experiments.list [suites|agents|experiments|SUITE]`."""

import ast
import signal
import sys
from pathlib import Path

from experiments import run

ROOT = Path(__file__).parent.parent


def described(folder: str, defines: str | None) -> dict[str, str]:
    """Modules of a folder and the first lines of their docstrings.

    Args:
      folder: of the source tree.
      defines: keep modules that define a function or variable of this name; None for one named as the module.
    """
    found = {}
    for path in sorted((ROOT / folder).glob("*.py")):
        tree = ast.parse(path.read_text())
        wanted = defines or path.stem
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assigned = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
        command = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)
        if wanted in functions | assigned and (command or wanted != "main"):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(argv: list[str] | None = None) -> None:
    """Prints suites, agents and experiments, or one of these, or all tasks of one suite."""
    chosen = (sys.argv[1:] if argv is None else argv) or ["suites", "agents", "experiments"]
    if {"-h", "--help"} & set(chosen):
        return print(__doc__)
    import envs

    known = ["suites", "agents", "experiments", *envs.suites()]
    for name in chosen:
        if name not in known:
            run.fail(f"{name}: not one of {', '.join(known)}")
        if name in envs.suites():
            print("\n".join(envs.names(name)))
        elif name == "suites":
            print("suites")
            for suite in envs.suites():
                try:
                    tasks = envs.names(suite)
                except ValueError as error:
                    print(f"  {suite:<12} {error}")
                    continue
                some = ", ".join(task.partition("/")[2] for task in tasks[:6])
                print(f"  {suite:<12} {len(tasks):>5} tasks: {some}{', ...' if len(tasks) > 6 else ''}")
        else:
            print(name)
            for module, line in described(name, "main" if name == "experiments" else None).items():
                command = f"python -m experiments.{module}" if name == "experiments" else module
                print(f"  {command:<34} {line}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    main()
