"""The one place where ONNX Runtime and OpenVINO are imported: silent, so that nothing is sent or left behind.

By themselves ONNX Runtime keeps a device number and a database of events in the user's cache, and OpenVINO a
client number in the home folder, both to be sent to their makers. Both are switched off before the import.
"""

import os
import sys
from typing import Any

from fsidfusion.errors import required

_REPORTER = "openvino_telemetry"


def import_onnxruntime(what: str = "runtime onnxruntime") -> Any:
    """The module ``onnxruntime``. MissingDependency where it is not installed, for ``what``."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    module = required("onnxruntime", what)
    module.disable_telemetry_events()
    return module


def import_openvino(what: str = "runtime openvino") -> Any:
    """The module ``openvino``. MissingDependency where it is not installed, for ``what``."""
    barred = _REPORTER not in sys.modules
    if barred:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]  # openvino takes its own stub instead
    try:
        return required("openvino", what)
    finally:
        if barred:
            del sys.modules[_REPORTER]
