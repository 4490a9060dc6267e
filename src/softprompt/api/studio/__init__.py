"""Our own interface, `/api/…`: every noun of `studio/*` under the same file name.

A route opens one unit of work, calls the use case and shows the row; what a row looks like outside stands in the
`show_…` function of its file.
"""
