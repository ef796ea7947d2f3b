import numpy as np
import pytest
from PIL import Image

from fsidfusion.errors import InputError
from fsidfusion.thermal.makers import own_format, shown_alone
from fsidfusion.thermal.reading import read_thermal, read_thermal_header
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.temperature import to_celsius
from fsidfusion.thermal.temperature_csv import read_csv
from memory_peak import growth_below
from radiometric_files import warm_scene, write_dji


@pytest.mark.parametrize(
    "name, maker", [("a.is2", "Fluke"), ("b.BMT", "Testo"), ("c.ravi", "Optris"), ("d.irb", "InfraTec")]
)
def test_own_formats_of_makers_are_refused_with_the_way_out(tmp_path, name, maker):
    path = tmp_path / name
    path.write_bytes(b"PK\3\4" + bytes(200))
    for read in (read_thermal, read_thermal_header):
        with pytest.raises(InputError, match=f"{maker}'s own format, which is not read; save .* CSV or TIFF"):
            read(path)
    assert own_format(tmp_path / "a.jpg") == ""


@pytest.mark.parametrize(
    "make, model, maker",
    [
        ("Fluke Thermography", "Ti400", "Fluke"),
        ("testo", "872", "Testo"),
        ("Parrot", "Anafi Thermal", "Parrot"),
        ("HIKMICRO", "M30", "HIKMICRO"),
        ("Apple", "iPhone", None),
    ],
)
def test_pictures_of_makers_whose_temperatures_are_not_read_say_so(tmp_path, make, model, maker):
    exif = Image.Exif()
    exif[271], exif[272] = make, model
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (48, 1))).save(tmp_path / "a.jpg", exif=exif)
    note = read_thermal(tmp_path / "a.jpg").note
    assert note.startswith(f"of {maker}'s file only the picture was read") == (maker is not None)
    if maker:
        with pytest.raises(InputError, match=f"holds no temperatures .*{maker}'s file"):
            read_thermal(tmp_path / "a.jpg", temperature=True)
    assert shown_alone(None) == ""


def test_degrees_of_dji_name_the_way_out(tmp_path):
    path = write_dji(tmp_path / "a.jpg", (8000 + 40 * warm_scene((128, 160))).astype(np.uint16))
    with pytest.raises(InputError, match="DJI's Thermal SDK alone knows what its counts mean: convert"):
        read_thermal(path, temperature=True)
    assert read_thermal(path, Thermal(unit="decikelvin"), temperature=True).scene.celsius is not None


EXPORTS = {
    "plain": ("{:.2f}", ",", "", False),
    "german": ("{:.1f}", ";", "File;a.jpg\nEmissivity;0,95\n\n", False),
    "numbered": ("{:.2f}", ",", "x,", True),
    "tabs": ("{:.2f}", "\t", "Frame 1\t°C\n", False),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_exported_tables_of_temperatures_are_read(tmp_path, kind):
    form, mark, head, numbered = EXPORTS[kind]
    celsius = warm_scene()
    lines = []
    if numbered:
        lines.append(mark.join(["", *(str(column) for column in range(celsius.shape[1]))]))
        head = ""
    for index, row in enumerate(celsius):
        cells = [form.format(value) for value in row]
        if mark == ";":
            cells = [cell.replace(".", ",") for cell in cells]
        lines.append(mark.join([str(index)] * numbered + cells) + (mark if kind == "tabs" else ""))
    path = tmp_path / "t.csv"
    path.write_text(head + "\n".join(lines) + "\n", "utf-8")
    reading = read_thermal(path, temperature=True)
    np.testing.assert_allclose(reading.scene.celsius, celsius, atol=0.051)
    assert reading.picture.pixels.shape == celsius.shape
    assert "taken for degrees Celsius" in reading.note
    header = read_thermal_header(path)
    assert (header.height, header.width) == celsius.shape


def test_tables_that_hold_no_temperatures_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no table of temperatures; expected at least 16x16 numbers"):
        read_csv(path)
    path.write_text("Unit,°F\n" + "\n".join([",".join(["70.5"] * 20)] * 20), "utf-8")
    with pytest.raises(InputError, match="Fahrenheit"):
        read_csv(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no table"):
        read_csv(path)
    path.write_text("1,2\n" * 140_000)
    with pytest.raises(InputError, match="more than 131072 lines; give one picture"):
        read_csv(path)


@pytest.mark.parametrize(
    "content", [b"\n" * 6_000_000, b"ab\n" * 2_000_000, b"1;" * 3_000_000, b"1;" * 60_000 + b"\n"]
)
def test_text_that_is_no_table_takes_little_memory(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with growth_below(64 << 20), pytest.raises(InputError, match="no table"):
        read_csv(path)


def test_tenths_of_degrees_above_minus_100():
    assert to_celsius(np.array([[1000, 1365]], np.uint16), "optris").tolist() == [[0.0, 36.5]]
