"""What a person does with the engine: tune, ask, evaluate, report. Files and defaults, no database, no terminal."""
