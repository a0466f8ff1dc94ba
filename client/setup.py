"""Leaves out of both packages everything that the client does not import."""

from setuptools import setup
from setuptools.command.build_py import build_py

NEEDED = {
    ("maskloop", "__init__"),
    ("maskloop", "errors"),
    ("serving", "__init__"),
    ("serving", "client"),
    ("serving", "schemas"),
}


class ClientAlone(build_py):
    """Builds the modules that are needed."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return package, name and file of each module."""
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if module[:2] in NEEDED]


setup(cmdclass={"build_py": ClientAlone})
