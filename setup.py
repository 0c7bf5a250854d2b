"""What the wheel holds: the packages, and some folders of the checkout under another name (hornet/installation.py)."""

from pathlib import Path

from setuptools import find_packages, setup

RENAMED = {
    "hornet.spec.data": "spec",
    "hornet_tests.conformance": "tests/conformance",
    "hornet_tests.network": "tests/network",
    "hornet_tests.perf": "tests/perf",
    "hornet_tests.procedures": "tests/procedures",
}


def data_of(package: str) -> list[str]:
    """Every file below a package that is not Python: programs for guests, templates, files of images."""
    files = (path for path in Path(package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return [str(path.relative_to(package)) for path in files]


setup(
    packages=[*find_packages(include=["hornet*", "builders*", "lab", "reports*"]), *RENAMED],
    package_dir=RENAMED,
    package_data={"hornet.spec.data": ["*.toml", "*/*.toml"]}
    | {name: data_of(name) for name in ("hornet", "builders", "lab", "reports")},
    include_package_data=False,
)
