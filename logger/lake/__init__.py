"""The lake: raw tables as Parquet files by gateway and month, and reports of a fleet computed from them.

What needs pyarrow or Dask is imported when it is asked for: both are extras.
"""
