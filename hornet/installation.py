"""Where the suite itself lies: in a checkout of the project, or in packages installed from a wheel.

The wheel holds the same folders. Some have another place there, because Python imports packages from site-packages:
spec/ is hornet/spec/data/, and the tests that users run, such as tests/perf, are hornet_tests.perf and so on.
"""

from __future__ import annotations

from pathlib import Path

from hornet.errors import HostError

# The folder that has the packages: on sys.path.
SOURCE = Path(__file__).resolve().parents[1]
PACKAGES = ("hornet", "hornet_cli", "hornet_fixtures", "hornet_tests", "builders", "lab", "reports")
IN_CHECKOUT = (SOURCE / "pyproject.toml").is_file()
TESTS = SOURCE / ("tests" if IN_CHECKOUT else "hornet_tests")
SPEC_DIRECTORY = SOURCE / "spec" if IN_CHECKOUT else SOURCE / "hornet" / "spec" / "data"


def require_checkout(what: str) -> None:
    """Raises HostError in an installation from a wheel. what: as in `hornetos test`."""
    if not IN_CHECKOUT:
        raise HostError(
            f"{what} needs a checkout of the project; this is an installation in {SOURCE}",
            "clone the repository and run ./hornetos there",
        )
