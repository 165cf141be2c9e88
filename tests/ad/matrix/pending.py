"""What `ad` does not take yet, by theme: functions all of whose cases raise an ADError, or single cases of a function;
and which kinds of random programs.

A program that is taken must go from here: its test says so.
"""

PENDING = {
    "aliases": """
        alias_changes_in_a_loop alias_in_a_branch array_is_copied_before base_is_written column_is_a_view
        diagonal_blocks expression_becomes_the_state expression_is_a_copy flatten_is_a_copy fresh_array_each_step
        fresh_empty_array_each_step halves name_of_a_view_is_reused overlapping_views ravel_is_a_view
        reshape_is_a_view reversed_view rotated_buffers row_is_a_view row_of_each_step rows_are_swapped rows_in_a_loop
        second_name swap_by_a_temporary swapped_buffers time_levels_in_one_array transpose_is_a_view view_is_written
        view_moves_along view_of_a_view view_shrinks views_of_three_dimensions
    """,
    "allocation": """
        allocated_in_a_branch allocated_in_a_loop arange array_of_numbers copies empty history int_and_bool_arrays
        like linspace linspace_between_variables matrices of_length_zero ones_and_full replaced_by_zeros
        reset_in_a_loop size_from_the_data zeros
    """,
    "calls": """
        argument_is_returned array_is_returned arrays_and_numbers_are_returned callee_returns_early
        callee_returns_nothing calls_of_calls compiled_writes_its_argument defaults_and_keywords
        names_of_the_callee_are_its_own new_array_is_returned ode one_of_two_is_returned same_array_twice time_loop
        time_loop_with_energy tuple_is_returned two_arguments_are_returned view_is_returned writes_a_row writes_a_view
        writes_its_argument
    """,
    "combined": """
        array_break_call array_break_call_on_views array_break_element array_break_fresh array_break_swap
        array_break_view array_continue_call array_continue_call_on_views array_continue_element array_continue_fresh
        array_continue_swap array_continue_view array_return_call array_return_call_on_views array_return_element
        array_return_fresh array_return_swap array_return_view array_through_call array_through_call_on_views
        array_through_element array_through_fresh array_through_swap array_through_view down_break_call
        down_break_call_on_views down_break_element down_break_fresh down_break_swap down_break_view
        down_continue_call down_continue_call_on_views down_continue_element down_continue_fresh down_continue_swap
        down_continue_view down_return_call down_return_call_on_views down_return_element down_return_fresh
        down_return_swap down_return_view down_through_call down_through_call_on_views down_through_element
        down_through_fresh down_through_swap down_through_view enumerate_break_call enumerate_break_call_on_views
        enumerate_break_element enumerate_break_fresh enumerate_break_swap enumerate_break_view
        enumerate_continue_call enumerate_continue_call_on_views enumerate_continue_element enumerate_continue_fresh
        enumerate_continue_swap enumerate_continue_view enumerate_return_call enumerate_return_call_on_views
        enumerate_return_element enumerate_return_fresh enumerate_return_swap enumerate_return_view
        enumerate_through_call enumerate_through_call_on_views enumerate_through_element enumerate_through_fresh
        enumerate_through_swap enumerate_through_view range_break_call range_break_call_on_views range_break_element
        range_break_fresh range_break_swap range_break_view range_continue_call range_continue_call_on_views
        range_continue_element range_continue_fresh range_continue_swap range_continue_view range_return_call
        range_return_call_on_views range_return_element range_return_fresh range_return_swap range_return_view
        range_through_call range_through_call_on_views range_through_element range_through_fresh range_through_swap
        range_through_view step_break_call step_break_call_on_views step_break_element step_break_fresh
        step_break_swap step_break_view step_continue_call step_continue_call_on_views step_continue_element
        step_continue_fresh step_continue_swap step_continue_view step_return_call step_return_call_on_views
        step_return_element step_return_fresh step_return_swap step_return_view step_through_call
        step_through_call_on_views step_through_element step_through_fresh step_through_swap step_through_view
        while_break_call while_break_call_on_views while_break_element while_break_fresh while_break_swap
        while_break_view while_continue_call while_continue_call_on_views while_continue_element while_continue_fresh
        while_continue_swap while_continue_view while_return_call while_return_call_on_views while_return_element
        while_return_fresh while_return_swap while_return_view while_through_call while_through_call_on_views
        while_through_element while_through_fresh while_through_swap while_through_view zip_break_call
        zip_break_call_on_views zip_break_element zip_break_fresh zip_break_swap zip_break_view zip_continue_call
        zip_continue_call_on_views zip_continue_element zip_continue_fresh zip_continue_swap zip_continue_view
        zip_return_call zip_return_call_on_views zip_return_element zip_return_fresh zip_return_swap zip_return_view
        zip_through_call zip_through_call_on_views zip_through_element zip_through_fresh zip_through_swap
        zip_through_view
    """,
    "compiled": """
        bounds_are_checked compiled_calls_compiled division_of_numpy fast_mathematics in_place whole_arrays
    """,
    "effects": """
        annotations asserts asserts_in_a_loop prints raises_and_prints_in_a_callee raises_elsewhere raises_in_a_loop
        statements_without_effect value_of_a_branch_that_is_not_taken work_that_is_never_used
    """,
    "elementwise": """
        absolute_values absolute_values_of_python angles chosen clipped clipped_between_variables exponentials
        extremes hyperbolic into_an_array inverse_hyperbolic inverse_trigonometry logarithms numpy_on_scalars
        of_two_arguments operators_by_name predicates relu_and_sigmoid remainder_of_math remainders roots rounding
        trigonometry where_with_broadcasting
    """,
    "expressions": """
        accumulated_array arithmetic array_and_number array_in_a_branch augmented_in_a_loop axis_of_length_one
        boolean_arrays column_broadcast comparisons_as_numbers constant_arrays expression_in_a_loop laplacian
        mixed_with_ints modulo_and_floor names_are_reused nested_expression new_axes outer_broadcast powers residuals
        rosenbrock row_broadcast same_array_twice shifted_slices three_dimensional_broadcast
        transposed_in_an_expression where_in_an_expression
    """,
    "functions": """
        closure function_as_an_argument_of_the_program function_as_argument functions_that_write_as_arguments
        local_function local_function_as_argument local_lambda moving_average recursion recursion_on_an_array
        recursion_that_writes recursion_twice recursion_with_branches
    """,
    "indexing": """
        bins columns_gathered counts_in_an_int_array gather gather_in_an_expression graph_edges mask_augmented
        mask_in_a_loop mask_reads mask_reads_a_matrix mask_writes_a_matrix mask_writes_a_number mask_writes_an_array
        mask_writes_constants negative_indices nonzero_positions permutation_cycle positions_of_extremes rows_gathered
        rows_scattered scatter scatter_a_number scatter_add_in_a_loop scatter_augmented scatter_into_zeros
        scatter_with_repeated_indices sorted_by_positions sparse_matrix_vector
    """,
    "inplace": """
        a_row_by_a_number array_is_read_in_conditions array_plus_and_minus_itself array_times_itself
        augmented_by_an_array augmented_by_broadcasting augmented_by_its_own_row bubble_sort element_augmented
        element_squares_itself elements_are_swapped everything_is_overwritten filled gaussian_elimination
        negative_index one_element one_element_twice overlapping_slices overlapping_slices_augmented
        overwritten_by_constants polynomial_in_place recurrence recurrence_down rows_and_columns
        rows_are_updated_by_rows slice_is_written slices_augmented stencil_in_place strided_slices three_dimensions
        two_dimensions two_dimensions_chained whole_array_augmented whole_matrix_is_overwritten
    """,
    "jumps": """
        bisection break_and_continue break_at_zero_trips break_of_both break_of_the_inner break_out_of_for
        break_out_of_while continue_in_for continue_in_while continue_of_the_outer for_else only_return_is_in_the_loop
        overwritten_before_break overwritten_before_continue overwritten_before_return return_from_a_branch_of_a_loop
        return_out_of_enumerate return_out_of_for return_out_of_nested return_out_of_while return_out_of_zip
        three_deep while_else
    """,
    "linear": """
        diagonal dot_products flipped_and_repeated gradient_descent jacobi_iteration joined matrix_powers
        matrix_times_matrix matrix_times_vector network outer_products power_iteration product_is_written_in_place
        products_of_planes products_of_slices quadratic_form ravelled reshaped stacked traces transposed_products
        transposes transposes_of_three_dimensions vector_times_matrix
    """,
    "loops": """
        any_step element_is_read_after enumerate_from enumerate_of_zip enumerate_rows loop_variable_is_read_after
        nested_on_a_matrix over_a_tuple over_an_array over_an_array_of_ints over_planes over_rows
        over_rows_and_elements until_converged while_true with_enumerate with_zip zero_trips_in_zero_trips
        zip_of_three zip_of_unequal_lengths zip_with_range
    """,
    "precision": """
        array_without_dimensions bool_array complex_arrays complex_iteration complex_numbers complex_work_array
        discrete_fourier_transform double_is_written_into_single fortran_order integer_arithmetic integer_powers
        ints_are_written ints_in_an_array not_contiguous single_and_double single_and_double_numbers single_arrays
        single_in_place single_numbers single_work_array through_single_precision transposed_and_reversed
    """,
    "random": """
        arrays
    """,
    "reductions": """
        advection_by_rolling cumulative_products cumulative_sums cumulative_sums_along_axes differences
        differences_along_an_axis differences_of_rows dimensions_are_kept largest_and_smallest
        largest_and_smallest_along_axes log_sum_exp means means_along_axes normalised_rows product_with_a_zero
        products products_along_axes reduction_in_a_loop reductions_of_rows_in_a_loop reductions_of_slices rolled
        rolled_along_axes standardised sum_by_loop_and_by_function sums sums_along_a_negative_axis sums_along_axes
        sums_of_three_dimensions variances variances_along_axes
    """,
    "tuples": """
        array_in_a_named_tuple_is_written buffers_in_a_tuple named_tuple_argument named_tuple_is_made
        named_tuple_through_calls named_tuple_to_a_callee named_tuple_with_an_array named_tuples_nested nested_tuple
        none_in_a_tuple optional_array optional_number shape_is_a_tuple tuple_argument tuple_is_looped_over
        tuple_of_arrays tuple_of_tuples tuple_state_in_a_loop tuples_are_made
    """,
}
