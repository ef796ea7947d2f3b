import json

import numpy as np

from fsidfusion.cli import main
from fsidfusion.images.files import Picture, write_picture


def test_people_are_counted_under_every_condition(tmp_path, capsys):
    infrared = np.full((96, 128), 60, np.uint8)
    infrared[30:70, 50:66] = 210
    visible = np.random.default_rng(0).integers(90, 120, (96, 128, 3)).astype(np.uint8)
    for split in ("train", "test"):
        for name in ("1D", "2N"):
            write_picture(tmp_path / split / "ir" / f"{split}{name}.png", Picture(infrared))
            write_picture(tmp_path / split / "vi" / f"{split}{name}.png", Picture(visible))
            labels = tmp_path / split / "labels"
            labels.mkdir(exist_ok=True)
            (labels / f"{split}{name}.txt").write_text(f"0 {58 / 128} {50 / 96} 0.125 {40 / 96}\n")
            (labels / "classes.txt").write_text("person\n")
    call = [
        "benchmark",
        "seeing",
        "--data",
        str(tmp_path),
        "--model",
        "maximum",
        "-o",
        str(tmp_path / "out"),
    ]
    assert not main(call)
    assert "| maximum+heat |" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "seeing.json").read_text())
    assert set(record) == {"clear", "haze", "smoke"}
    assert set(record["clear"]) == {"person", "person, day", "person, night"}
    assert record["clear"]["person"]["infrared"]["kept"] == 1
    assert record["smoke"]["person"]["maximum+heat"]["kept"] >= record["smoke"]["person"]["visible"]["kept"]
    assert (tmp_path / "out" / "seeing.md").read_text().startswith("## People in fused pictures")
