"""The layout, nothing else: static metadata lives in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

INIT = Path(__file__).with_name("lgtwist") / "__init__.py"

setup(
    version=re.search(r'__version__ = "(.+)"', INIT.read_text("utf-8"))[1],
    # Makes `pip install -e .` a plain .pth line; without it twistd does not see the plugin.
    package_dir={"": "."},
    packages=[*find_packages(include=["lgtwist", "lgtwist.*"]), "twisted.plugins"],
    package_data={
        "lgtwist": ["py.typed"],
        "lgtwist.journal": ["*.sql"],
        "lgtwist.onebot": ["catalogue.json"],
        "lgtwist.console": ["keys.json", "static/**/*"],
    },
    zip_safe=False,
)
