from fsidfusion.studies.speed.patches import measure


def test_every_form_is_timed_against_decoding_each_patch() -> None:
    readings = measure(number=2, size=(96, 128), patch=32, batch=2, repeats=2)
    assert [reading.form.split()[0] for reading in readings] == [
        "decode",
        "decode",
        "patch",
        "cache",
        "bytes",
    ]
    first = readings[0]
    assert first.ratio == 1
    for reading in readings:
        assert reading.pairs_per_second > 0
        assert abs(reading.ratio - reading.pairs_per_second / first.pairs_per_second) < 1e-9 * reading.ratio
