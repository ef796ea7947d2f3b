"""The script that writes measurements into the pages of the checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

import write_docs
from fsidfusion.errors import InputError


def test_a_part_is_replaced_and_its_plot_copied(tmp_path, capsys):
    docs, out = tmp_path / "docs", tmp_path / "out"
    docs.mkdir()
    out.mkdir()
    page = docs / "results.md"
    page.write_text("a\n<!-- speed:begin -->\nold\n<!-- speed:end -->\nb\n")
    (out / "speed.md").write_text("## Speed\n\n![plot](speed.svg)\n")
    (out / "speed.svg").write_text("<svg/>")
    (out / "other.svg").write_text("<svg/>")
    write_docs.Part("speed", out / "speed.md", docs).run()
    assert page.read_text() == (
        "a\n<!-- speed:begin -->\n## Speed\n\n![plot](speed.svg)\n<!-- speed:end -->\nb\n"
    )
    assert sorted(path.name for path in docs.iterdir()) == ["results.md", "speed.svg"]
    with pytest.raises(InputError, match="is no file"):
        write_docs.Part("speed", out / "absent.md", docs).run()


def test_the_script_tells_what_it_does():
    script = Path(write_docs.__file__)
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "quality" in shown.stdout and "part" in shown.stdout
