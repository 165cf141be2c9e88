"""Benchmarks: asv's (bench_*.py), and scripts that compare with peers in one run."""
