"""The process that tunes: claim, run, report. The parent never loads torch; a child of it does the work."""
