"""Run one of wplus's programs: `wplus COMMAND ARGUMENTS`, or `python -m wplus`.

Each command runs a module as `python -m` does, and imports nothing else: `wplus --help` answers
without torch.
"""

import difflib
import runpy
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import requires, version

WRONG_USAGE = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand of `wplus` and the program it runs.

    Attributes:
        module: The module that is run.
        help: One line describing it.
        first: The module's own subcommand, which goes before the user's arguments.
        extra: The extra of the distribution that has the packages it needs.
    """

    module: str
    help: str
    first: str | None = None
    extra: str | None = None

    def argv(self, name: str, arguments: Sequence[str]) -> list[str]:
        """Return the `sys.argv` with which the module runs; the first item names the program."""
        if self.first is None:
            return [f"wplus {name}", *arguments]
        return ["wplus", self.first, *arguments]


COMMANDS = {
    "serve": Command("wplus.serve", "fetch missing weights, then run the service"),
    "worker": Command("service.jobs.worker", "run a refine worker on WPLUS_REDIS_URL"),
    "pull": Command("model_core.checkpoints", "fetch and convert the pretrained weights", "pull"),
    "inspect": Command(
        "model_core.checkpoints", "describe a checkpoint of another project", "inspect"
    ),
    "convert": Command(
        "model_core.checkpoints", "convert a checkpoint of another project", "convert"
    ),
    "embed": Command("model_core.batch", "embed every face in a folder of photos", extra="batch"),
    "edit": Command("model_core.batch.edit", "edit the faces of a folder, a photo or a film"),
    "colorize": Command(
        "model_core.batch.colorize", "give the faces of a folder or a photo other colours"
    ),
    "morph": Command("model_core.batch.morph", "go from face to face in an animation"),
    "align": Command("model_core.alignment", "crop the faces in a folder as FFHQ does"),
    "train": Command(
        "model_core.training", "train the embedding network or the detail encoder", extra="train"
    ),
    "evaluate": Command(
        "model_core.evaluation", "measure the embedding network and other methods", extra="eval"
    ),
}


def main() -> None:
    """Run the command named in `sys.argv`.

    It exits with status 2 if there is no such command, and with 1 if a package of its extra is
    not installed.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return
    if name in ("-V", "--version"):
        print(f"wplus {version('wplus')}")
        return
    if name not in COMMANDS:
        print(f"wplus: {unknown(name)}", file=sys.stderr)
        sys.exit(WRONG_USAGE)
    command = COMMANDS[name]
    sys.argv = command.argv(name, arguments)
    try:
        # Not alter_sys: it would put its own path into the first argument, which names the program.
        runpy.run_module(command.module, run_name="__main__")
    except ModuleNotFoundError as err:
        if command.extra is None:
            raise
        sys.exit(f"wplus: {lacking(name, command.extra, err)}")


def usage() -> str:
    """Return what --help prints."""
    rows = [f"  {name:10} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: wplus COMMAND [ARGUMENTS]",
            "",
            "A photo of a face in, its StyleGAN W+ code and edited 1024 px images out.",
            "",
            "commands:",
            *rows,
            "",
            "`wplus COMMAND --help` describes a command; `wplus --version` prints the version.",
        ]
    )


def lacking(name: str, extra: str, failure: ModuleNotFoundError) -> str:
    """Say how to install an extra's packages, which the distribution's metadata lists."""
    rows = (row.partition(";") for row in requires("wplus") or ())
    packages = [package.strip() for package, _, marker in rows if f'"{extra}"' in marker]
    return f"{name} needs the package {failure.name}: pip install {shlex.join(packages)}"


def unknown(name: str) -> str:
    """List the known commands, and suggest the closest one."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"COMMAND must be one of {', '.join(COMMANDS)}, got {name!r}{hint}"


if __name__ == "__main__":
    main()
