"""Help shows inputs first and hides what is seldom used; shells complete commands and options."""

import shutil
import subprocess

import pytest

from fsidfusion.cli import COMMANDS, main
from fsidfusion.cli.options import SELDOM


def shown(capsys, *words) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_seldom_used_options_wait_for_advanced_help(capsys):
    brief, whole = (shown(capsys, "fuse", help_) for help_ in ("--help", "--advanced-help"))
    for option in ("--tile", "--memory", "--threads", "--max-megapixels", "--ir-crop", "--bits"):
        assert f"{option} " not in brief and f"{option} " in whole
    for option in ("--ir", "--vis", "--output", "--model", "--align", "--json"):
        assert f"{option} " in brief and f"{option} " in whole
    assert "--advanced-help" in brief
    assert len(brief.splitlines()) < len(whole.splitlines())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fuse", "--irr", "a", "-o", "b"], ("--irr",)),
        (["fuse", "--ir", "a"], ("Missing", "--output")),
        (["fuse", "-o", "b", "--format", "gif"], ("gif", "png")),
        (["fuse", "-o", "b", "--max-megapixels", "many"], ("many", "--max-megapixels")),
        (["benchmark", "sped"], ("sped",)),
        (["train"], ("--data", "--output")),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(capsys, words, told):
    assert main(words) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"fsidfusion {words[0]}: ") and line.endswith("--help")
    assert all(word in line for word in told)
    assert "│" not in line and "──" not in line and captured.out == ""


def test_hidden_options_are_parsed_all_the_same(tmp_path, capsys):
    shown(capsys, "fuse", "--help")
    assert (
        main(["fuse", "--ir", "absent.png", "--vis", "a.png", "-o", f"{tmp_path}/f.png", "--tile", "off"])
        == 2
    )
    assert "absent.png" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fuse", "video", "evaluate", "explain"])
def test_inputs_come_first(capsys, command):
    text = shown(capsys, command, "--help")
    first = text.index("inputs options")
    others = [text.find(f"{group} options") for group in ("run", "output", "subject", "compute", "thermal")]
    assert all(place == -1 or place > first for place in others)


def test_every_seldom_used_option_is_one():
    """A name that no command has is a slip of the pen."""
    import tyro._arguments
    import tyro._parsers

    from fsidfusion.cli import _load

    found = set()
    original = tyro._arguments.ArgumentDefinition.is_suppressed

    def note(argument):
        found.add(argument.field.intern_name)
        return original(argument)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tyro._arguments.ArgumentDefinition, "is_suppressed", note)
        for name in COMMANDS:
            command = _load(name)
            tasks = {"data": ("prepare", "check", "render"), "detect": ("train", "compare")}
            tasks["segment"] = tasks["detect"]
            tasks["benchmark"] = ("quality", "speed", "align")
            for task in tasks.get(name, ("",)):
                with pytest.raises(SystemExit):
                    tyro.cli(command, args=[*filter(None, [task]), "--help"], prog=name)
    assert found >= SELDOM


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_complete_commands_and_options(capsys, shell):
    script = shown(capsys, "--print-completion", shell)
    assert all(name in script for name in COMMANDS)
    assert "max-megapixels" in script  # of fuse, and hidden in its help
    assert shown(capsys, "fuse", "--print-completion", shell) == script


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(
    ("words", "completed"),
    [("fu", "fuse"), ("fuse --vi", "--vis"), ("benchmark sp", "speed"), ("fuse --max-m", "--max-megapixels")],
)
def test_bash_completes(capsys, tmp_path, words, completed):
    path = tmp_path / "completion.bash"
    path.write_text(shown(capsys, "--print-completion", "bash"))
    line = f"fsidfusion {words}"
    number = len(line.split()) - 1
    code = f"source {path}; COMP_WORDS=({line}); COMP_CWORD={number}; COMP_LINE='{line}'; _tyro_fsidfusion"
    result = subprocess.run(
        ["bash", "-c", f"{code}; echo ${{COMPREPLY[@]}}"], capture_output=True, text=True, check=False
    )
    assert completed in result.stdout.split(), result.stderr


def test_unknown_shells_are_refused(capsys):
    assert main(["--print-completion", "csh"]) == 2
    assert main(["fuse", "--print-completion"]) == 2
    assert all("expected one of bash" in line for line in capsys.readouterr().err.splitlines())
