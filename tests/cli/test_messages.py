"""What is said names options, is one line, and is of a sane length."""

from fsidfusion.cli.messages import LONGEST, as_options, plain, say, warn


def test_parameters_become_options():
    said = as_options("larger than `max_pixels`; give `align`, or `agc_visible` off, or `ir_crop`; not `A b`")
    assert said == "larger than --max-megapixels; give --align, or --agc-vis off, or --ir-crop; not `A b`"


def test_control_characters_are_shown_as_escapes():
    assert plain("a\x1b[31mb\nc\u202ed\udcff") == "a\\x1b[31mb\\nc\\u202ed\\udcff"
    assert plain("Grüße 世界 °C") == "Grüße 世界 °C"


def test_long_values_are_cut_in_the_middle(capsys):
    say("x" * 50_000_000 + "; give `output`")
    warn("begin " + "y" * 50_000_000)
    captured = capsys.readouterr()
    assert len(captured.out) < LONGEST + 100 > len(captured.err)
    assert captured.out.endswith("; give --output\n")
    assert captured.err.startswith("begin y")
    assert "characters left out" in captured.out
