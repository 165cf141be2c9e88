"""Gradients of functions of numbers on a GPU, a thread for each set of arguments: ``ad.grad(f, target="cuda")``.

Imported when such a gradient is made: it needs the package ``numba-cuda``.
"""
