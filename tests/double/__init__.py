"""The strict double: a stand-in for CuPy on the CPU, for tests.

``xp`` plays the module ``cupy``.  Its arrays refuse what CuPy refuses (host arrays, NumPy functions, names and
keywords CuPy lacks), do what CuPy does silently (wrap indices, NaN for singular matrices, sums in random order),
and count launches, uploads and synchronisations.  It sees no speed, no streams, no real races.

>>> from double import xp, no_sync, counting
>>> a = xp.asarray(host)              # the way in: one upload
>>> with no_sync(), counting() as count:
...     b = (a * 2.0).sum()           # stays on the device: float(b) would raise here
>>> count.launches
2
>>> float(b)                          # the way out: one synchronisation
"""

from .device_array import DeviceArray
from .namespace import xp
from .rules import Counters, DeviceError, Knobs, NoStandInError, counters, counting, knobs, no_sync

__all__ = [
    "Counters", "DeviceArray", "DeviceError", "Knobs", "NoStandInError",
    "counters", "counting", "knobs", "no_sync", "xp",
]  # fmt: skip
