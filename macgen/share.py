"""Where the files that are no Python modules of macgen stand: `sim` (the testbench) and `constraints` (templates)."""

from pathlib import Path

from macgen.errors import MacgenError

_PACKAGE = Path(__file__).resolve().parent


def share_directory(name: str) -> Path:
    """Return a shared directory: beside the package in a checkout, inside it where macgen is installed.

    Raises:
        MacgenError: it is in neither place.
    """
    for parent in (_PACKAGE / "_share", _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise MacgenError(
        f"{name} is missing: it is neither in {_PACKAGE / '_share'} nor in {_PACKAGE.parent}; accepted are a checkout "
        f"of macgen or an installed wheel"
    )
