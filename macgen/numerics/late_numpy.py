"""NumPy, loaded when something of it is first used: a build reads formats, and has no array of numbers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
else:

    class _Late:
        """Gets each name from NumPy once."""

        def __getattr__(self, name):
            import numpy

            value = getattr(numpy, name)
            setattr(self, name, value)
            return value

    np = _Late()

__all__ = ["np"]
