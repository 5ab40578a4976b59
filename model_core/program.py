"""Name the program in the usage line of a command."""

import sys

WPLUS = "wplus"


def program_name(module: str) -> str:
    """Return what the user typed to run a module: `wplus train`, or `python -m` and the module.

    The `wplus` command puts its own words in `sys.argv[0]` before it runs the module.

    Args:
        module: The module that runs, such as model_core.training.
    """
    typed = sys.argv[0]
    return typed if typed.split(" ")[0] == WPLUS else f"python -m {module}"
