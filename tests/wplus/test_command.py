"""The `wplus` command, as a user types it."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from wplus.__main__ import COMMANDS

HEAVY = ("torch", "numpy", "PIL", "fastapi", "pydantic")


def wplus(*arguments, **environment):
    """Run the command; its variables are these alone, so that a machine's settings do not count."""
    return subprocess.run(
        [sys.executable, "-m", "wplus", *arguments],
        env={"PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help_lists_every_command(arguments):
    said = wplus(*arguments)
    assert (said.returncode, said.stderr) == (0, "")
    assert all(f"\n  {name} " in said.stdout for name in COMMANDS)


def test_help_imports_nothing_heavy():
    code = (
        "import sys, wplus.__main__ as command; sys.argv = ['wplus', '--help']; command.main(); "
        f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_that_of_the_distribution(flag):
    assert wplus(flag).stdout == f"wplus {version('wplus')}\n"


@pytest.mark.parametrize(
    ("word", "hint"),
    [("sreve", " (did you mean serve?)"), ("xyzzy", ""), ("--port", "")],
)
def test_an_unknown_command_is_refused_in_one_line(word, hint):
    said = wplus(word)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == (
        f"wplus: COMMAND must be one of {', '.join(COMMANDS)}, got {word!r}{hint}\n"
    )


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "worker"])
def test_every_command_describes_itself_by_its_own_name(name):
    said = wplus(name, "--help")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"usage: wplus {name} [-h]")


def test_modules_keep_their_own_names():
    said = subprocess.run(
        [sys.executable, "-m", "model_core.checkpoints", "pull", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.stdout.startswith("usage: python -m model_core.checkpoints pull")


def test_arguments_reach_the_module(tmp_path):
    said = wplus("pull", "nonesuch", WPLUS_CACHE=str(tmp_path))
    assert said.returncode == 1
    assert said.stderr.startswith("error: name must be one of ")
    assert list(tmp_path.iterdir()) == []


def test_serving_refuses_wrong_settings_before_it_fetches(tmp_path):
    said = wplus("serve", WPLUS_CACHE=str(tmp_path), WPLUS_PROT="8000")
    assert said.returncode == 1
    assert said.stderr == (
        "wplus: WPLUS_ variables must name a setting, got WPLUS_PROT (did you mean WPLUS_PORT?)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_serving_fetches_what_the_cache_lacks(tmp_path):
    said = wplus(
        "serve",
        WPLUS_CACHE=str(tmp_path),
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
        PIP_CONFIG_FILE="/dev/null",
        PIP_RETRIES="0",
    )
    assert said.returncode == 1
    assert f" in total into {tmp_path}" in said.stderr
    assert "wplus: random-face==2021.7.21.1 must be downloadable with pip" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_worker_reports_missing_settings():
    said = wplus("worker")
    assert said.returncode == 1
    assert said.stderr == "wplus: WPLUS_REDIS_URL must name a Redis or Valkey, got none\n"


@pytest.mark.parametrize(
    ("name", "package", "others"),
    [("train", "scipy", ["tensorboard"]), ("evaluate", "matplotlib", ["scikit-image", "scipy"])],
)
def test_a_command_without_its_packages_says_what_to_install(name, package, others):
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['wplus', {name!r}, '--help']\n"
        "from wplus.__main__ import main; main()"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert said.returncode == 1
    assert said.stderr.startswith(f"wplus: {name} needs the package {package}")
    install = said.stderr.partition(": pip install ")[2]
    assert all(each in install for each in (package, *others))
    assert "torch" not in install
