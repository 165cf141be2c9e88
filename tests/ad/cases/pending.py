"""Cases that `ad` refuses today, with an ADError.  One that it takes no longer belongs here, and its test says so."""

__all__ = ["PENDING"]

PENDING = frozenset(
    """
    classics.helmholtz_of_arrays
    classics.rosenbrock_of_slices
    classics.speelpenning_by_halves
    classics.speelpenning_of_array
    classics.speelpenning_over_elements
    dynamics.lorenz63_rk4_in_place
    dynamics.lorenz96
    dynamics.lorenz96_by_roll
    dynamics.van_der_pol_rk4_by_calls
    dynamics.van_der_pol_trajectory
    """.split()
)
