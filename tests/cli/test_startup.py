"""What answers at once: help, version, a mistake and shell completion, without torch or transformers."""

import re
import shutil
import subprocess
import sys

import pytest

from vitpose_cli import main as cli

# Prints the heavy packages that answering has imported; the answer itself goes to stderr.
LIGHT = """
import contextlib, sys
with contextlib.redirect_stdout(sys.stderr):
    from vitpose_cli.main import main
    status = 0
    try:
        status = main(sys.argv[1:])
    except SystemExit as end:
        status = end.code
heavy = [name for name in ("torch", "transformers", "numpy", "PIL", "vitpose") if name in sys.modules]
print(status, *heavy)
"""


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("", 2, "Which command?"),
        ("--help", 0, "publish"),
        ("--version", 0, "vitpose 0."),
        ("predict --help", 0, "--model"),
        ("predic photo.jpg", 2, "There is no command 'predic'. Did you mean predict?"),
        ("schema --splitt x", 2, "Help: vitpose schema --help"),
        ("publish runs/x --repo a/b --privat-e", 2, "unrecognized arguments: --privat-e. Did you mean --private?"),
        ("serve --portt=3 x", 2, "Did you mean --port?"),
        ("export", 2, "Help: vitpose export --help"),
        ("completion", 2, "the following arguments are required: shell"),
    ],
)
def test_an_answer_needs_neither_torch_nor_transformers(given, status, said):
    done = subprocess.run([sys.executable, "-c", LIGHT, *given.split()], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [str(status)], done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_without_torch_and_knows_commands_arguments_and_recipes(shell):
    pytest.importorskip("shtab")
    command = [sys.executable, "-c", LIGHT, "completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0"], done.stderr
    for word in (*cli.COMMANDS, "flip-test", "num-processes", "lspet_small.yaml"):
        assert word in done.stderr
    if shutil.which(shell):  # its grammar is the shell's
        checked = subprocess.run([shell, "-n"], input=done.stderr, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_command_and_a_recipe(tmp_path):
    pytest.importorskip("shtab")
    command = [sys.executable, "-c", "from vitpose_cli.main import main; main(['completion', 'bash'])"]
    script = tmp_path / "vitpose.bash"
    script.write_text(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout)
    asked = """
source "$0"
complete_words() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
  $(complete -p vitpose | sed -E "s/.*-F ([^ ]+).*/\\1/") vitpose "${!#}"
  echo "${COMPREPLY[@]}"
}
complete_words vitpose tr
complete_words vitpose train lspet
"""
    done = subprocess.run(["bash", "-c", asked, script], capture_output=True, text=True, timeout=60)
    assert re.findall(r"\S+", done.stdout) == ["train", "lspet_small.yaml"], done.stderr
