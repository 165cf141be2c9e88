"""What `ad` refuses, by theme: functions all of whose cases raise an ADError, or single cases of a function.

A program that is taken must go from here: its test says so.
"""

PENDING = {
    "elementwise": "into_an_array remainder_of_math",
    "functions": "recursion_that_writes",
    "indexing": "nonzero_positions",
    "precision": "array_without_dimensions",
}
