"""A table of pairs, as CSV or Parquet: which files belong together, and what their results are called."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fsidfusion.errors import InputError, required
from fsidfusion.images.atomic import temporary_folder, write_bytes
from fsidfusion.images.budget import MAX_ROWS, regular_file
from fsidfusion.images.encode import FORMATS
from fsidfusion.images.pairs import Pair, Task
from fsidfusion.images.storage import as_place, fetch, is_address, put
from fsidfusion.images.text import read_text, reason, to_csv

_COLUMNS: tuple[tuple[str, str, Task], ...] = (  # of the infrared and of the visible place
    ("infrared", "visible", "thermal"),
    ("ct", "mri", "medical"),
    ("pet", "mri", "medical"),
    ("spect", "mri", "medical"),
)
_PARQUET = (".parquet", ".pq")
_LONGEST = 4096  # characters of a place
_BATCH = 1 << 16


@dataclass(frozen=True)
class Manifest:
    """The pairs of a table, in its order."""

    pairs: tuple[Pair, ...]
    outputs: tuple[str, ...]  # below the output folder, without extension where the table gives none
    task: Task
    modality: str  # what the infrared place holds: infrared, ct, pet or spect


def read_manifest(place: Path) -> Manifest:
    """Read a table with the columns infrared and visible, or mri and one of ct, pet and spect.

    Paths are relative to the working folder. The column ``output`` names results below the output folder,
    with or without extension; without it, they have the name of the visible picture (MRI). Other columns are
    not read.

    Args:
        place: .csv or .parquet, also in a store.

    Raises:
        InputError: no such table, columns that are not those, an empty cell, results of one name.
        MissingDependency: pyarrow is not there for Parquet.
    """
    if not is_address(place):
        return _read(place, str(place))
    with temporary_folder() as folder:
        local = folder / f"manifest{place.suffix}"
        fetch(place, local)
        return _read(local, str(place))


def write_table(place: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Write columns as CSV or Parquet, whole, also into a store.

    Raises:
        InputError: it cannot be written, or its name is of neither kind.
    """
    if place.suffix.lower() in _PARQUET:
        content = io.BytesIO()
        arrow = required("pyarrow", "a table in Parquet")
        table = arrow.table({name: arrow.array(values) for name, values in columns.items()})
        required("pyarrow.parquet", "a table in Parquet").write_table(table, content)
        written = content.getvalue()
    elif place.suffix.lower() == ".csv":
        written = to_csv([list(columns), *zip(*columns.values())]).encode("utf-8", "surrogateescape")
    else:
        raise InputError(f"table {place} has no known kind; give .parquet or .csv")
    put(written, place) if is_address(place) else write_bytes(place, written)


def _read(local: Path, name: str) -> Manifest:
    kind = local.suffix.lower()
    if kind in _PARQUET:
        head, rows = _of_parquet(local, name)
    elif kind == ".csv":
        head, rows = _of_csv(local, name)
    else:
        raise InputError(f"manifest {name} has no known kind; expected .csv or .parquet")
    found = [kinds for kinds in _COLUMNS if kinds[0] in head and kinds[1] in head]
    if len(found) != 1:
        raise InputError(
            f"manifest {name} has the columns {reason(', '.join(head)) if head else 'none'}; expected"
            " infrared and visible, or mri and one of ct, pet, spect, and output if you like"
        )
    first, second, task = found[0]
    wanted = [head.index(column) for column in (first, second, *(("output",) if "output" in head else ()))]
    pairs, outputs = [], []
    for number, row in enumerate(rows, 2):
        if number > MAX_ROWS + 1:
            raise InputError(f"manifest {name} has over {MAX_ROWS:,} rows; give it in parts")
        cells = [row[column] if column < len(row) else "" for column in wanted]
        if not all(
            isinstance(cell, str) and 0 < len(cell) <= _LONGEST and "\0" not in cell for cell in cells
        ):
            raise InputError(f"manifest {name}, row {number}: a cell is empty or no path; fill it in")
        infrared, visible = as_place(cells[0]), as_place(cells[1])
        output = cells[2] if len(cells) > 2 else PurePosixPath(visible.name).stem
        if PurePosixPath(output).is_absolute() or ".." in PurePosixPath(output).parts or is_address(output):
            raise InputError(
                f"manifest {name}, row {number}: output {output!r} leaves the output folder;"
                " give a name below it"
            )
        if not PurePosixPath(output).parts or any(
            part.startswith(".") for part in PurePosixPath(output).parts
        ):
            raise InputError(
                f"manifest {name}, row {number}: output {output!r} would be hidden;"
                " let no part begin with a dot"
            )
        suffix = PurePosixPath(output).suffix
        stem = output.removesuffix(suffix) if suffix.lower() in FORMATS else output
        pairs.append(Pair(PurePosixPath(stem).name, infrared, visible))
        outputs.append(output)
    if not pairs:
        raise InputError(f"manifest {name} has no rows; expected one for each pair")
    return Manifest(tuple(pairs), tuple(outputs), task, first)


def _of_csv(local: Path, name: str) -> tuple[list[str], Iterable[Sequence[Any]]]:
    rows = csv.reader(io.StringIO(read_text(local, "manifest"), newline=""))
    try:
        head = [column.strip().lower() for column in next(rows, [])]
        return head, [row for row in rows if row]
    except csv.Error as error:
        raise InputError(f"manifest {name}, line {rows.line_num}: {reason(error)}; save it again") from error


def _of_parquet(local: Path, name: str) -> tuple[list[str], Iterable[Sequence[Any]]]:
    regular_file(local, "manifest")
    parquet = required("pyarrow.parquet", "a manifest in Parquet")
    try:
        # as dictionaries, so that one long text that a million rows share is in memory once
        file = parquet.ParquetFile(local)
        names = file.schema_arrow.names
        known = {column for kinds in _COLUMNS for column in kinds[:2]} | {"output"}
        columns = [column for column in names if column.lower() in known]
        file = parquet.ParquetFile(local, read_dictionary=columns)
        rows = file.metadata.num_rows
    except Exception as error:
        raise InputError(f"manifest {name} is no sound Parquet file ({reason(error)})") from error
    if rows > MAX_ROWS:
        raise InputError(f"manifest {name} has {rows:,} rows, over {MAX_ROWS:,}; give it in parts")
    return [column.lower() for column in columns] or list(names), _parquet_rows(file, columns, name)


def _parquet_rows(file: Any, columns: list[str], name: str) -> Iterable[Sequence[Any]]:
    try:
        for batch in file.iter_batches(_BATCH, columns=columns):
            for column in batch.columns:
                texts = getattr(column, "dictionary", column)
                if any(len(text) > _LONGEST for text in texts.to_pylist() if isinstance(text, str)):
                    raise InputError(f"manifest {name}: a path has over {_LONGEST} characters; shorten it")
            yield from zip(*(column.to_pylist() for column in batch.columns))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"manifest {name} is no sound Parquet file ({reason(error)})") from error
