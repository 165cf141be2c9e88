"""Cases that `ad` refuses today, with an ADError.  One that it takes no longer belongs here, and its test says so."""

__all__ = ["PENDING"]

PENDING = frozenset(
    """
    classics.helmholtz_of_arrays
    classics.rosenbrock_of_slices
    classics.speelpenning_by_halves
    classics.speelpenning_of_array
    classics.speelpenning_over_elements
    """.split()
)
