"""The catalogue (stub, grows in a minute)."""
CAUSAL = frozenset({"gemma", "gemma3_text", "gpt2", "granite", "llama", "mistral", "qwen2"})
SEQ2SEQ = frozenset({"mt5", "t5"})
