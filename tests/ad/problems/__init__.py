"""Long-known test problems with published or closed-form gradients, as programs that people write for Numba.

One module is one family; each opens with its sources.  The references share nothing with `ad`: formulas, adjoints coded
by hand, the complex step and differences (`reference`).
"""

from importlib import import_module

from problems.case import CASES, Case
from problems.pending import PENDING

__all__ = ["CASES", "PENDING", "Case"]

FAMILIES = """
    classics dynamics
    mgh_small mgh_data mgh_variable mgh_systems mgh_linear
    adbench_gmm adbench_ba adbench_lstm
    regression filters finance iterations
    pde shallow_water
    linear_algebra spectra
    networks bodies
""".split()

for _family in FAMILIES:
    import_module(f"problems.{_family}")
