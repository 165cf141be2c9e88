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
    mgh_data.bard_residuals
    mgh_data.biggs_exp6_residuals
    mgh_data.box_residuals
    mgh_data.brown_dennis_residuals
    mgh_data.gaussian_residuals
    mgh_data.gulf_residuals
    mgh_data.kowalik_osborne_residuals
    mgh_data.meyer_residuals
    mgh_data.osborne1_residuals
    mgh_data.osborne2_residuals
    mgh_linear.chebyquad_residuals
    mgh_linear.linear_full_rank_residuals
    mgh_linear.linear_rank1_residuals
    mgh_linear.linear_rank1_zeros_residuals
    mgh_small.beale_residuals
    mgh_small.brown_badly_scaled_residuals
    mgh_small.freudenstein_roth_residuals
    mgh_small.helical_valley_residuals
    mgh_small.jennrich_sampson_residuals
    mgh_small.powell_badly_scaled_residuals
    mgh_small.powell_singular_residuals
    mgh_small.rosenbrock_residuals
    mgh_small.wood_residuals
    mgh_systems.brown_almost_linear_residuals
    mgh_systems.broyden_banded_residuals
    mgh_systems.broyden_tridiagonal_residuals
    mgh_systems.discrete_boundary_residuals
    mgh_systems.discrete_integral_residuals
    mgh_systems.trigonometric_residuals
    mgh_variable.extended_powell_residuals
    mgh_variable.extended_rosenbrock_residuals
    mgh_variable.penalty1_residuals
    mgh_variable.penalty2_residuals
    mgh_variable.variably_dimensioned_residuals
    mgh_variable.watson_residuals
    """.split()
)
