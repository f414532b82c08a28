"""Fetch axe-core, which looks for barriers in a page, or check it: ``python -m tests.console.vendor_axe``.

It is for tests only, and in no package.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lgtwist.console.vendor import Package, run_vendor

AXE_FOLDER = Path(__file__).with_name("axe")
AXE = Package(
    name="axe-core",
    version="4.14.1",
    files={"axe.min.js": "axe.min.js"},
    licence_file="LICENSE.axe-core.txt",
    are_modules=False,
)

if __name__ == "__main__":
    sys.exit(run_vendor(program="python -m tests.console.vendor_axe", folder=AXE_FOLDER, packages=[AXE]))
