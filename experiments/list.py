"""What there is: `python -m experiments.list [suites|agents|experiments|SUITE]`; `readme` renews README.md's table."""

import ast
import signal
import sys
from pathlib import Path

from experiments import run

ROOT = Path(__file__).parent.parent


def parsed(folder: str) -> dict[str, ast.Module]:
    """Modules of a folder of the source tree, not imported: that would take their packages with them."""
    return {path.stem: ast.parse(path.read_text()) for path in sorted((ROOT / folder).glob("[!_]*.py"))}


def first_line(tree: ast.Module | ast.ClassDef) -> str:
    """Of the documentation of a module or a class."""
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def declares(tree: ast.Module, name: str) -> bool:
    """Whether a module assigns a variable."""
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def agents() -> dict[str, str]:
    """The algorithms, and what each is."""
    return {name: first_line(tree) for name, tree in parsed("agents").items() if name != "base"}


def systems() -> dict[str, str]:
    """The commands that declare an `experiment`, and what each trains, as its `--help` begins."""
    found = {name: tree for name, tree in parsed("experiments").items() if declares(tree, "experiment")}
    lines = {}
    for name, tree in found.items():
        kind = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Flags"), None)
        lines[name] = first_line(kind or tree)
    return lines


def tools() -> dict[str, str]:
    """The other commands, and what each does."""
    return {name: first_line(tree) for name, tree in parsed("experiments").items() if not declares(tree, "experiment")}


MARKS = "<!-- systems -->", "<!-- /systems -->"
"""What the table of systems stands between in README.md."""


def page_of(name: str) -> str:
    """The page of a command under docs/results, or of the command that it shares one with; empty without one."""
    pages = ROOT / "docs" / "results"
    if (pages / f"{name}.md").exists():
        return f"docs/results/{name}.md"
    shared = (path.name for path in sorted(pages.glob("[!R]*.md")) if f"experiments/{name}.py" in path.read_text())
    return next((f"docs/results/{page}" for page in shared), "")


def readme_table() -> str:
    """The table of systems for README.md: command, agent, what it trains, page of evidence; and the other pages."""
    lines = ["| command | agent | what it does | evidence |", "|---|---|---|---|"]
    files, linked = agents(), set()
    for name, line in systems().items():
        agent = f"[`{name}`](agents/{name}.py)" if name in files else ""
        page = page_of(name)
        linked.add(page)
        evidence = f"[page]({page})" if page else "not measured yet"
        lines.append(f"| [`{name}`](experiments/{name}.py) | {agent} | {line} | {evidence} |")
    others = []
    for path in sorted((ROOT / "docs" / "results").glob("*.md")):
        if path.name != "README.md" and f"docs/results/{path.name}" not in linked:
            others.append(f"[{path.read_text().partition(chr(10))[0].strip('# ')}](docs/results/{path.name})")
    return "\n".join([*lines, "", f"More pages: {', '.join(others)}."])


def write_readme() -> None:
    """Renews the table of systems in README.md."""
    path = ROOT / "README.md"
    before, _, rest = path.read_text().partition(MARKS[0])
    path.write_text(f"{before}{MARKS[0]}\n{readme_table()}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")


def main(argv: list[str] | None = None) -> None:
    """Prints suites, agents and experiments, or one of these, or all tasks of one suite."""
    chosen = (sys.argv[1:] if argv is None else argv) or ["suites", "agents", "experiments"]
    if {"-h", "--help"} & set(chosen):
        return print(__doc__)
    if chosen == ["readme"]:
        return write_readme()
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
        elif name == "agents":
            table("agents", agents())
        else:
            table("experiments", {f"python -m experiments.{n}": line for n, line in systems().items()})
            table("tools", {f"python -m experiments.{n}": line for n, line in tools().items()})


def table(title: str, rows: dict[str, str]) -> None:
    """Prints names and what they are."""
    print(title)
    for name, line in rows.items():
        print(f"  {name:<34} {line}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    main()
