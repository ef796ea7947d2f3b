import dataclasses

import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.plan import Plan
from fsidfusion.thermal.scene import Thermal


def test_the_task_decides_whose_chroma_is_carried():
    assert Plan().chroma == "visible"
    assert Plan(task="medical").chroma == "infrared"
    assert Plan(color="infrared").chroma == "infrared"
    assert Plan(color="gray").chroma is None
    assert Plan(color="heat").chroma == "visible"


def test_asking_for_infrared_chroma_leaves_thermal_handling_alone():
    assert Plan(color="infrared").infrared.agc == "auto"
    assert Plan(task="medical").infrared.agc == "off"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"task": "astronomy"}, "task 'astronomy' is unknown"),
        ({"color": "pink"}, "color 'pink' is unknown"),
        ({"task": "medical", "color": "heat"}, "heat is for infrared"),
        ({"agc_visible": "auto"}, "gain control 'auto'"),
        ({"thermal": Thermal(highlight="warm")}, "highlight 'warm'"),
    ],
)
def test_what_does_not_go_is_said_when_the_plan_is_made(options, words):
    with pytest.raises(InputError, match=words):
        Plan(**options)


def test_a_plan_is_only_read():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plan().color = "gray"
