import cv2
import numpy as np
import torch

from fsidfusion.studies import polarity as study
from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal import polarity


def test_the_network_learns_and_is_read_as_it_was_trained(tmp_path, monkeypatch):
    for name, count in (("hot", 3), ("other", 2)):
        (tmp_path / name).mkdir()
        for seed in range(count):
            scene = render_scene(seed, (120, 160), time_of_day="night", smoke=False)
            shown = scene.infrared if name == "hot" else scene.visible
            cv2.imwrite(str(tmp_path / name / f"{seed}.png"), shown)
    monkeypatch.setattr(study, "_BATCH", 8)
    study.train_from(tmp_path / "w.npz", [tmp_path / "hot"], [tmp_path / "other"], epochs=4)
    with np.load(tmp_path / "w.npz") as file:
        weights = {name: file[name].astype(np.float32) for name in file.files}
    monkeypatch.setattr(polarity, "_weights", lambda: weights)
    network = study.PolarityNetwork()
    network.load_state_dict(
        {name.replace("_", ".", 1): torch.from_numpy(each) for name, each in weights.items()}
    )
    picture = study.changed(render_scene(9, (120, 160)).infrared, np.random.default_rng(0))
    with torch.no_grad():
        expected = float(network(torch.from_numpy(picture)[None, None])[0])
    told = polarity._judge(picture) - polarity._judge(-picture)
    np.testing.assert_allclose(told, expected, atol=1e-4)


def test_changed_pictures_have_one_size_and_no_brightness():
    rng = np.random.default_rng(1)
    for _ in range(20):
        shown = study.changed(rng.integers(0, 256, (120, 160), np.uint8), rng)
        assert shown.shape == (96, 128)
        assert abs(float(shown.mean())) < 1e-4
