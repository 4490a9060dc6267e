"""The tables of the first release, as `versions/0001_first_release.py` makes them. A later migration changes them."""
