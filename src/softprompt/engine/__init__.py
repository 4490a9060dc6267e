"""Frozen models and soft prompts on torch: load, tune, generate, read labels, store.

Letters in shapes: B rows, T positions of a row, N packed positions, P virtual tokens, H hidden width, V vocabulary,
L layers, A attention heads, K key/value heads, D width of a head, C labels.

Does not know: databases, the web, the command line, progress bars. Everything it has to say goes out as events or
return values. This file imports nothing, so that importing one engine module does not load the others.
"""
