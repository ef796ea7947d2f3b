"""The fusion as a service: HTTP in front of one shared fuser, and a page for people without a command line.

``desk`` queues pairs and computes them; ``uploads`` and ``archives`` take what clients send; ``options`` turn
form fields into a plan; ``app`` and ``jobs`` are the routes; ``server`` begins and ends it all.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.serving.server import serve
    from fsidfusion.serving.settings import Settings

__all__ = ["Settings", "serve"]
__getattr__, __dir__ = lazily(__name__, {"server": ("serve",), "settings": ("Settings",)})
